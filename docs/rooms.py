"""Draws docs/rooms.svg: the rooms of the project and which imports which, read from the imports themselves.

python docs/rooms.py
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT, GAP = 190, 62, 46  # of a room, and between two

# room -> column and floor, counted from the bottom; what it is for
ROOMS = {
    '01': (0, 3, 'data sets into samples'),
    '02': (1, 3, 'samples into weights'),
    '03': (2, 3, 'images into maps'),
    '04': (3, 3, 'maps into scores'),
    'utils/data_sets': (0, 2, 'fixations as handed out'),
    'utils/training': (1, 2, 'samples, runs, history'),
    'models': (2, 2, 'networks, predictions'),
    'utils/evaluation': (3, 2, 'scores, tables, pages'),
    'backend': (2, 1, 'Theano and Lasagne'),
    'utils': (
        0,
        0,
        'what all share: files, images, samples, weights files, metrics (arrows to it are left out)',
    ),
}


def room(name):
    """The room of a file or a module, by the longest prefix of its path; None if it has none."""
    path = name.replace('.', '/')
    if path[:2].isdecimal():
        return path[:2]
    found = [r for r in ROOMS if path == r or path.startswith(r + '/')]
    return max(found, key=len) if found else None


def imported(path):
    """The modules that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def arrows():
    """Pairs of rooms of which the first imports from the second, sorted."""
    files = [
        *ROOT.glob('0*.py'),
        *(p for top in ('utils', 'models', 'backend') for p in (ROOT / top).rglob('*.py')),
    ]
    found = {(room(str(p.relative_to(ROOT))), room(name)) for p in files for name in imported(p)}
    return sorted((a, b) for a, b in found if a and b and a != b)


def corner(name):
    column, floor, _ = ROOMS[name]
    return GAP + column * (WIDTH + GAP), GAP + (3 - floor) * (HEIGHT + 1.5 * GAP)


def svg():
    """The picture, as text."""
    width, height = 4 * (WIDTH + GAP) + GAP, 4 * HEIGHT + 6.5 * GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        '<title>Rooms of the project; an arrow leads from a room to one that it imports from</title>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#777"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for a, b in arrows():
        if b == 'utils':
            continue
        (x1, y1), (x2, y2) = corner(a), corner(b)
        x1, x2 = x1 + WIDTH / 2, x2 + WIDTH / 2
        if y1 == y2:  # on one floor: below the rooms between them
            y1 = y2 = y1 + HEIGHT
            way = f'M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + GAP:.0f} {x2:.0f} {y2 + GAP:.0f} {x2:.0f} {y2:.0f}'
        else:
            x1, x2 = x1 + (x2 - x1) / 12, x2 + (x1 - x2) / 12
            way = f'M{x1:.0f} {y1 + HEIGHT:.0f}L{x2:.0f} {y2:.0f}'
        lines.append(f'<path d="{way}" fill="none" stroke="#777" stroke-width="1.3" marker-end="url(#tip)"/>')
    for name, (_, _, text) in ROOMS.items():
        x, y = corner(name)
        width = 4 * WIDTH + 3 * GAP if name == 'utils' else WIDTH
        middle = x + width / 2
        colour = '#dbe9f6' if name[:2].isdecimal() else '#fdf1d8' if name == 'backend' else '#e5f3e1'
        lines += [
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width}" height="{HEIGHT}" rx="8" '
            f'fill="{colour}" stroke="#555"/>',
            f'<text x="{middle:.0f}" y="{y + 26:.0f}" text-anchor="middle" font-size="16" '
            f'font-weight="bold">{name}</text>',
            f'<text x="{middle:.0f}" y="{y + 47:.0f}" text-anchor="middle" font-size="12">{text}</text>',
        ]
    return '\n'.join([*lines, '</svg>', ''])


if __name__ == '__main__':
    (ROOT / 'docs' / 'rooms.svg').write_text(svg())
