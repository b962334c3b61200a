"""What the README and the other documents say of the code."""

import importlib
import re

from tests.conftest import ROOT
from utils import VERSION

DOCUMENTS = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *(ROOT / 'docs').glob('*.md')]
CODE = [
    *ROOT.glob('0*.py'),
    *(p for f in ('backend', 'models', 'utils', 'weights') for p in (ROOT / f).rglob('*.py')),
]


def test_every_note_in_the_code_names_a_deviation_of_the_list():
    text = (ROOT / 'docs' / 'deviations.md').read_text()
    listed = [int(number) for number in re.findall(r'^(\d+)\. ', text, re.MULTILINE)]
    assert listed == list(range(1, len(listed) + 1))
    notes = [note for path in CODE for note in re.findall(r'# note:.*', path.read_text())]
    assert len(notes) > 10
    for note in notes:
        number = re.match(r'# note: deviation (\d+): ', note)
        assert number and int(number[1]) in listed, note


def test_links_lead_somewhere():
    found = 0
    for path in DOCUMENTS:
        for link in re.findall(r'\]\((?!http)([^)#]+)\)', path.read_text()):
            assert (path.parent / link).exists(), f'{path.name}: {link}'
            found += 1
    assert found > 10


def test_the_version_is_the_same_wherever_it_stands():
    citation = (ROOT / 'CITATION.cff').read_text()
    (version,), (date,) = (
        re.findall(rf'^{key}: (\S+)$', citation, re.MULTILINE) for key in ('version', 'date-released')
    )
    changes = re.findall(r'^## (.*)$', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)
    assert version == VERSION and changes[0] == f'{VERSION}, {date}'


def options_of(name):
    """The options of a script; of the numbered ones those too that modules add."""
    if name.startswith('0'):
        return importlib.import_module(name[: -len('.py')]).parser().format_help()
    return re.findall(r"'(--[\w-]+)'", (ROOT / name).read_text())


def test_commands_name_scripts_and_options_that_exist():
    text = '\n'.join(path.read_text() for path in DOCUMENTS)
    blocks = '\n'.join(re.findall(r'```\w*\n(.*?)```', text, re.DOTALL)).replace('\\\n', ' ')
    commands = re.findall(
        r'^(?:\$ )?(?:\S+=\S+ )*(?:\.venv/bin/)?python ((?:\w+/)?[\w-]+\.py)(.*)$', blocks, re.MULTILINE
    )
    assert len(commands) > 15
    for name, arguments in commands:
        known = options_of(name)
        for option in re.findall(r'(?<= )--[\w-]+', arguments):
            assert option in known, f'{name} has no {option}'


def test_the_figure_of_the_rooms_is_current():
    from docs import rooms

    assert (ROOT / 'docs' / 'rooms.svg').read_text() == rooms.svg()


def test_the_documents_name_files_that_exist():
    for path in DOCUMENTS[1:]:
        for name in re.findall(
            r'`((?:utils|models|backend|weights|tests|docker|docs|benchmarks)/[\w/.]+)`', path.read_text()
        ):
            assert (ROOT / name).exists(), f'{path.name}: {name}'
