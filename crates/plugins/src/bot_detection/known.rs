//! How well-known crawlers and libraries call themselves: the agents that Kong knows, which are those of uap-core
//! (ua-parser), without what tells one of them from another.

use regex::bytes::{Regex, RegexBuilder};
use std::sync::LazyLock;

/// Matches the agents that are known.
pub fn bots() -> Result<&'static Regex, String> {
    static BOTS: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| {
        let names = NAMES.split('|').map(regex::escape);
        let all: Vec<String> = names.chain(FORMS.iter().map(|form| form.to_string())).collect();
        RegexBuilder::new(&all.join("|")).unicode(false).build()
    });
    BOTS.as_ref().map_err(|e| format!("the agents that are known: {e}"))
}

/// What names a bot wherever it stands.
const NAMES: &str = "\
    50.nu|Aboundex|AdsBot-Google|aihttp|altavista|Apache-HttpClient|AppEngine-Google|archiver|Ask Jeeves|axios|\
    bingbot|BingPreview|blitzbot|BlogBridge|Bloglovin|BoardReader Blog Indexer|BoardReader Favicon Fetcher|\
    BotName/$BotVersion|BotSeer|BUbiNG|Catchpoint|Checklinks|Cityreview Robot|clumboot|Daumoa|favicon|\
    Feed Seeker Bot|Feedbin|Finderbots|findlinks|Flamingo_SearchEngine|FollowSite Bot|furlbot|Genieo|gigabot|\
    Go-http-client|GomezAgent|gonzo1|Google SketchUp|Google-HTTP-Java-Client|Googlebot|grub-client|heritrix|\
    HiddenMarket|holmes|HooWWWer|htdig|http%20client|HttpMonitor|Icarus6j|ichiro|IconSurf|IlTrovatore|InfuzApp|\
    InternetArchive|JNLP|Job Roboter|KaloogaBot|Kraken|Kurzor|larbin|LEIA|LesnikBot|Linguee Bot|LinkAider|\
    LinkedInBot|Lite Bot|Llaut|lycos|Mail.RU_Bot|masidani_bot|masscan|Mediapartners-Google|MJ12bot|mogimogi|\
    mozDex|msnbot|msrbot|Mtps Feed Aggregation System|netresearch|Netvibes|NewsGator|Nutch|Nymesis|\
    ObjectsSearch|OgScrper|okhttp|OOZBOT|Orbiter|PagePeeker|PagesInventory|PaxleFramework|Peeplo Screenshot Bot|\
    PlantyNet_WebRobot|Pompos|Python-urllib|Qwantify|Read%20Later|Reaper|RedCarpet|reqwest|Retreiver|Riddler|\
    Rival IQ|scalaj-http|scooter|Scrapy|Scrubby|searchsight|seekbot|semanticdiscovery|SemrushBot|SEOstats|\
    SimplePie|SimpleRSS|Simpy|SiteCat Webbot|SiteCon|Slack-ImgProxy|Slackbot-LinkExpanding|Slurp|snappy|\
    Squrl Java|Stringer|TheUsefulbot|Thumbshots.ru|ThumbShotsBot|Tiny Tiny RSS|TLSProber|Twitterbot|URL2PNG|\
    Vagabondo|VoilaBot|Votay bot|Web-sniffer|WebThumb|WhatsApp|WhatWeb|WinHTTP|WIRE|WordPress|Wotbox|\
    www.almaden.ibm.com|yacy|YahooSeeker|YodaoBot|YottaaMonitor|Yowedo|ZeBot_www.ze.bz|ZooShot|ZyBorg";

/// What is more than a name.
const FORMS: &[&str] = &[
    r"unirest-(?:java|python|ruby|nodejs|php|net)",
    r"Accoona-[A-z]{1,30}-Agent",
    r"archive.{0,30}\.org_bot",
    r"boitho.com-dc",
    r"\bYeti",
    r"[Cc]harlotte",
    r"IP2[a-z]{1,30}Bot",
    r"jbot\b",
    r"Microsoft .{0,30} Bot",
    r"^(?:NING|vortex|voyager|Zao)",
    r"WASALive.Bot",
    r"WeSEE:[A-z]",
    r"Xenu(?:.s)? Link Sleuth",
    r"Xerka [A-z]{1,30}Bot",
    r"Yandex\w",
    r"(?i:spider|crawl)",
    r"[Ss]crape",
    r"(?:[Aa]rchiver|[Ii]ndexer|[Bb]ot)[/ ]\d",
    r"Pingdom\.com_bot_version_\d+\.\d",
    r"facebookexternalhit/\d+\.\d",
    r"Google.*/\+/web/snippet",
    r"\b(?:Boto3?|JetS3t|aws-(?:cli|sdk-(?:cpp|go|java|nodejs|ruby2?|dotnet-(?:\d{1,2}|core)))|s3fs)/\d+\.\d",
    r" PTST/\d+\.?\d+$",
    r"/(?:[A-z]+[Bb]ot|Axtaris|fetchurl|Isara|ShopSalad|Tailsweep)[ -]\d",
    r"\b(?:008|Altresium|Argus|BaiduMobaider|DNSGroup|DataparkSearch|EDI|Goodzer|Grub|INGRID|Infohelfer)/\d",
    r"\b(?:LOOQ|PathDefender|Peew|PostPost|Steeler|VSE|WebCrunch|WebZIP|Y!J-BR[A-Z]|envolk|sproose|wminer)/\d",
    r"\bBoardReader/\d",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bots_and_others() {
        for agent in [
            "Googlebot/2.1 (+http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "facebookexternalhit/1.1",
            "Twitterbot/1.0",
            "Apache-HttpClient/4.5",
            "Boto3/1.26.1",
            "Mozilla/5.0 PTST/190101",
            "Scrapy/2.5 (+https://scrapy.org)",
            "my-CRAWLER",
            "some Indexer/1",
            "Argus/1.0",
            "ningxia NING",
            "voyager/1.0",
        ] {
            let expected = agent != "ningxia NING";
            assert_eq!(bots().unwrap().is_match(agent.as_bytes()), expected, "{agent}");
        }
        for agent in [
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
            "curl/8.0",
            "facebookexternalhit",
            "robotics",
            "xArgus/1.0",
        ] {
            assert!(!bots().unwrap().is_match(agent.as_bytes()), "{agent}");
        }
    }
}
