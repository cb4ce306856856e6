"""Python packages for the suites here, in environments of their own under the target folder. Run by itself, installs those
that it is told, or all."""
import os, subprocess, sys
from node import TARGET

WHEELS = {
    'aio-kong': ['aio-kong==3.7.2', 'click==8.5.1', 'pyyaml==6.0.4', 'rich==15.0.0'],
    'authlib': ['authlib==1.9.10', 'cryptography==50.0.2', 'joserfc==1.8.0'],
    'kong-pdk': ['gevent==26.9.0', 'kong-pdk==0.36', 'msgpack==1.2.4'],
    'otlp': ['opentelemetry-proto==1.45.2', 'protobuf==7.36.2'],
    'pyjwt': ['cryptography==50.0.2', 'pyjwt==2.15.1'],
    'schemathesis': ['openapi-spec-validator==0.9.0', 'schemathesis==4.32.5'],
    'sslyze': ['sslyze==6.3.1'],
}


def environment(name):
    """The folder of the programs of these wheels, which are installed unless they are there."""
    folder = os.path.join(TARGET, 'suites', name)
    programs, installed = os.path.join(folder, 'bin'), os.path.join(folder, 'installed')
    wanted = '\n'.join(WHEELS[name])
    if not os.path.exists(installed) or open(installed).read() != wanted:
        subprocess.run([sys.executable, '-m', 'venv', '--clear', folder], check=True)
        subprocess.run([os.path.join(programs, 'pip'), 'install', '--quiet', *WHEELS[name]], check=True)
        with open(installed, 'w') as file:
            file.write(wanted)
    return programs


def go_on_with(name):
    """Starts this program again where these wheels are, unless they are here."""
    programs = environment(name)
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(programs)):
        python = os.path.join(programs, 'python')
        os.execv(python, [python, *sys.argv])


if __name__ == '__main__':
    for known in sys.argv[1:] or WHEELS:
        environment(known)
