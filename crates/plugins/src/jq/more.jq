# There is one content, of no file, and no environment.
def inputs: empty;
def input: error("No more inputs");
def input_filename: null;
def input_line_number: 0;
def env: {};
def have_literal_numbers: true;
def have_decnum: false;

# Puts a value where a path leads, and makes what is missing on the way.
def put($path; $value):
    if $path == [] then $value
    else $path[0] as $key
    | (if . == null then if $key | isnumber then [] elif $key | isstring then {} else . end else . end)
    | if isarray and ($key | isnumber) and $key >= length
      then . + [range(length; $key) | null] + [null | put($path[1:]; $value)]
      else .[$key] = (.[$key] | put($path[1:]; $value)) end
    end;
def setpath($path; $value): put($path; $value);
# The library's own way first: it is quick, and fails where something is missing.
def assigned(paths; $value):
    . as $whole | try (paths = $value) catch ($whole | reduce path(paths) as $path (.; put($path; $value)));
def updated(paths; update):
    . as $whole
    | try (paths |= update)
      catch ($whole | reduce path(paths) as $path (.;
        [getpath($path) | first(update)] as $new | if $new == [] then delpaths([$path]) else put($path; $new[0]) end));

def ltrimstr($text): if isstring and ($text | isstring) and startswith($text) then .[($text | length):] else . end;
def rtrimstr($text):
    if isstring and ($text | isstring) and $text != "" and endswith($text) then .[:length - ($text | length)] else . end;
def ascii: [.] | implode;
def toarray: if isarray then . else [.] end;
def trimstr($text): ltrimstr($text) | rtrimstr($text);
def isvalid(f): try (f | true) catch false;
def date: todate;
def dateadd(unit; n): . + n;
def datesub(unit; n): . - n;

def INDEX(values; key): reduce values as $value ({}; .[$value | key | tostring] = $value);
def INDEX(key): INDEX(.[]; key);
def IN(values): any(values == .; .);
def IN(of; values): any(of == values; .);

def tostream:
    def events($path):
        if (isarray or isobject) and length > 0
        then (keys_unsorted[] as $key | .[$key] | events($path + [$key])), [$path + [keys_unsorted | last]]
        else [$path, .] end;
    events([]);
def fromstream(events):
    foreach events as $event (
        { value: null, ended: false };
        (if .ended then { value: null, ended: false } else . end)
        | ($event[0] | length) as $depth
        | if ($event | length) == 2
          then .value |= put($event[0]; $event[1]) | .ended = ($depth == 0)
          else .ended = ($depth == 1) end;
        if .ended then .value else empty end);
def truncate_stream(events): . as $depth | events | select(.[0] | length > $depth) | .[0] |= .[$depth:];

def @csv:
    if isarray then map(
        if isstring then "\"" + gsub("\""; "\"\"") + "\""
        elif isnumber or isboolean then tostring
        elif . == null then ""
        else error("\(type) is not valid in a csv row") end) | join(",")
    else error("\(type) cannot be csv-formatted, only an array can be") end;
def @tsv:
    if isarray then map(
        if isstring
        then gsub("\\\\"; "\\\\") | gsub("\t"; "\\t") | gsub("\n"; "\\n") | gsub("\r"; "\\r")
        elif isnumber or isboolean then tostring
        elif . == null then ""
        else error("\(type) is not valid in a tsv row") end) | join("\t")
    else error("\(type) cannot be tsv-formatted, only an array can be") end;
