#!/usr/bin/env python3
"""What OpenResty's functions do in nginx's Lua module and here: compare.py [--modules DIR] [--lua DIR].

Plays cases.lua in both and shows where they differ. Wants `nginx` with Debian's libnginx-mod-http-lua and
lua-resty-core; --modules says where its modules are, --lua where its Lua files are, if they are not installed.
Exits with the number of differences that are not in known.txt."""
import argparse, os, socketserver, subprocess, sys, tempfile, threading, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from node import Node


class Echo(socketserver.BaseRequestHandler):
    """Says what it is told."""
    def handle(self):
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass


def of_nginx(modules, lua, port):
    with tempfile.TemporaryDirectory() as prefix:
        os.makedirs(prefix + '/logs')
        listen = socketserver.TCPServer(('127.0.0.1', 0), None)
        own = listen.server_address[1]
        listen.server_close()
        with open(prefix + '/nginx.conf', 'w') as file:
            file.write(f'''
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
daemon off; worker_processes 1; pid {prefix}/pid; error_log {prefix}/logs/error.log;
events {{}}
http {{
    access_log off; lua_shared_dict cases 1m;
    lua_package_path "{HERE}/?.lua;{lua}/?.lua;;";
    server {{
        listen 127.0.0.1:{own};
        location / {{ access_by_lua_block {{ ngx.print(require("run")({port})) ngx.exit(200) }} }}
    }}
}}''')
        nginx = subprocess.Popen(['nginx', '-p', prefix, '-c', prefix + '/nginx.conf'], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    return urllib.request.urlopen(f'http://127.0.0.1:{own}/', timeout=30).read().decode('latin-1')
                except OSError:
                    time.sleep(0.1)
            raise SystemExit('nginx does not answer')
        finally:
            nginx.terminate()
            nginx.wait()


def of_node(port):
    settings = {'lua_package_path': HERE + '/?.lua', 'nginx_http_lua_shared_dict': 'cases 1m'}
    with Node(plugins='openresty-cases', **settings) as node:
        node.post('/services/s/routes', {'paths': ['/lua']})
        node.post('/plugins', {'name': 'openresty-cases'})
        url = f'http://127.0.0.1:{node.plain}/lua?port={port}'
        return urllib.request.urlopen(url, timeout=60).read().decode('latin-1')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--modules', default='/usr/lib/nginx/modules')
    parser.add_argument('--lua', default='/usr/share/lua/5.1')
    given = parser.parse_args()
    server = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    lines = lambda text: dict(line.split('\t', 1) for line in text.splitlines() if '\t' in line)
    theirs, ours = lines(of_nginx(given.modules, given.lua, port)), lines(of_node(port))
    with open(os.path.join(HERE, 'known.txt')) as file:
        known = {line.rstrip('\n') for line in file if not line.startswith('#')}
    unknown = 0
    for name in theirs:
        if theirs[name] != ours.get(name):
            unknown += name not in known
            print(f'{"known " if name in known else ""}{name}\n  nginx   {theirs[name]}\n  bascule {ours.get(name)}')
    print(f'{len(theirs)} cases, {unknown} differ')
    sys.exit(min(unknown, 100))


if __name__ == '__main__':
    main()
