"""A node in front of one service, for the suites beside this file."""
import http.client, json, os, subprocess, tempfile, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.path.join(ROOT, os.environ.get('CARGO_TARGET_DIR', 'target'))
CONTENT = b'{"hello": "world"}\n' * 8


class Service(BaseHTTPRequestHandler):
    """Answers everything, and does not mind clients that are gone."""
    protocol_version = 'HTTP/1.1'

    def answer(self):
        try:
            self.rfile.read(int(self.headers.get('Content-Length') or 0))
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Node:
    """`with Node() as node`: listens at `node.plain` and `node.tls`, and ends with the block."""

    def __init__(self, binary=None, **settings):
        self.binary = binary or os.environ.get('BASCULE') or os.path.join(TARGET, 'debug', 'bascule')
        self.settings = settings

    def __enter__(self):
        self.service = ThreadingHTTPServer(('127.0.0.1', 0), Service)
        threading.Thread(target=self.service.serve_forever, daemon=True).start()
        self.prefix = tempfile.TemporaryDirectory()
        settings = {'proxy_listen': '127.0.0.1:0, 127.0.0.1:0 ssl http2', 'admin_listen': '127.0.0.1:0',
                    'admin_gui_listen': 'off', 'status_listen': 'off', **self.settings}
        environment = {key: value for key, value in os.environ.items() if not key.startswith('KONG_')}
        environment.update({'KONG_' + key.upper(): value for key, value in settings.items()})
        self.process = subprocess.Popen([self.binary, 'run', '--attended', '--prefix', self.prefix.name], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self.process.stdout.readline() != b'ready\n':
            raise SystemExit('the node does not start')
        with open(os.path.join(self.prefix.name, 'pids', 'bascule.json')) as file:
            places = json.load(file)
        port = lambda name: int(places[name][0].rsplit(':', 1)[1])
        self.plain, self.tls, self.admin = port('proxy'), port('proxy_tls'), port('admin')
        self.without_database = settings.get('database') == 'off'
        if self.without_database:
            self.configure([])
        else:
            self.post('/services', self.record())
            self.post('/services/s/routes', {'paths': ['/']})
        return self

    def record(self):
        return {'name': 's', 'url': f'http://127.0.0.1:{self.service.server_port}'}

    def configure(self, plugins):
        """Gives a node without a database its service and these plugins."""
        service = {**self.record(), 'routes': [{'paths': ['/']}]}
        self.post('/config', {'_format_version': '3.0', 'services': [service], 'plugins': plugins})

    def add_plugin(self, plugin):
        if self.without_database:
            self.configure([plugin])
        else:
            self.post('/plugins', plugin)

    def post(self, path, record):
        client = http.client.HTTPConnection('127.0.0.1', self.admin, timeout=10)
        client.request('POST', path, json.dumps(record), {'Content-Type': 'application/json'})
        answer = client.getresponse()
        if answer.status != 201:
            raise SystemExit(f'POST {path}: {answer.status} {answer.read()}')

    def answers(self):
        """Whether it still serves, after all that."""
        client = http.client.HTTPConnection('127.0.0.1', self.plain, timeout=10)
        client.request('GET', '/')
        return client.getresponse().status == 200

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.service.shutdown()
        self.prefix.cleanup()
