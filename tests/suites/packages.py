"""Python packages for the suites here, in environments of their own under the target folder. Run by itself, installs them."""
import os, subprocess, sys
from node import TARGET

WHEELS = {
    'aio-kong': ['aio-kong==3.7.2', 'click==8.5.1', 'pyyaml==6.0.4', 'rich==15.0.0'],
    'schemathesis': ['openapi-spec-validator==0.9.0', 'schemathesis==4.32.5'],
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


if __name__ == '__main__':
    for known in WHEELS:
        environment(known)
