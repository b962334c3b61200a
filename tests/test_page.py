"""The page of results: what it holds, and, in a browser, what it does."""

import html.parser
import math
import re
import shutil

import cv2
import numpy as np
import pytest

from tests.helpers.evaluation_data import SIZE, points, saliency_map
from utils.evaluation import page, tables
from utils.evaluation.ground_truth import GroundTruth
from utils.evaluation.scores import Settings, described, summary

METRICS = ('NSS', 'KL')
HOSTILE = 'a "b" <script>window.hacked = 1</script> {{rows}} & 日本'
VALUES = {
    'lamp': {'NSS': 1.5, 'KL': 0.25},
    'dog/01': {'NSS': 0.5, 'KL': 0.5},
    HOSTILE: {'NSS': 2.5, 'KL': 0.125},
    'nothing there': {'NSS': math.nan, 'KL': math.nan},
}


def report_of(values, pictures, tables_shown=('table3',)):
    truth = GroundTruth('fixation maps')
    for number, stem in enumerate(values):
        truth.add(stem, points(number), SIZE)
    settings = Settings('mit', METRICS, None, 10, None, 0)
    shown = described(settings, truth, len(values), 0)
    return tables.Report(shown, METRICS, values, {'ours': summary(values, METRICS)}, tables_shown, pictures)


def pictures(stems):
    """One without an image, one without anything."""
    for number, stem in enumerate(stems):
        image = np.full((*SIZE, 3), (200, 40, 40), np.uint8) if number else None
        made = page.picture(saliency_map(number), points(number), SIZE, 5, image)
        yield stem, (made if stem != 'nothing there' else None)


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'report.html'
    tables.write(str(path), report_of(VALUES, pictures))
    return path


class Checked(html.parser.HTMLParser):
    """Collects tags, and sees that each that is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.found, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ('meta', 'img', 'input', 'line', 'br'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f'{tag} closed'

    def handle_data(self, data):
        self.text.append(data)


def parsed(path):
    checked = Checked()
    checked.feed(path.read_text('utf-8'))
    assert not checked.open
    return checked


# --- the file ---


def test_one_file_that_needs_no_network(small):
    assert [path.name for path in small.parent.iterdir()] == ['report.html']
    found = parsed(small)
    for tag, attributes in found.found:
        for name in ('src', 'href'):
            assert attributes.get(name, '#').startswith(('#', 'data:image/jpeg;base64,')), (tag, attributes)
    assert not re.search(r'https?:|url\(|@import', small.read_text('utf-8'))
    images = [attributes for tag, attributes in found.found if tag == 'img' and 'src' in attributes]
    assert len(images) == 3 and '{{' not in ''.join(found.text).replace('{{rows}}', '')


def test_settings_tables_and_worst_first(small):
    found = parsed(small)
    text = ' '.join(' '.join(found.text).split())
    for wanted in (
        'fixation filter',
        'GAN/4',
        '2.589 †',
        'published, disputed',
        'ours, 4 images',
        'not defined',
    ):
        assert wanted in text
    rows = [
        attributes['data-name']
        for tag, attributes in found.found
        if tag == 'tr' and 'data-name' in attributes
    ]
    assert rows == ['dog/01', 'lamp', HOSTILE, 'nothing there'], 'the lowest NSS first, what has none last'
    heads = {a['data-metric']: a['data-worst'] for tag, a in found.found if 'data-metric' in a}
    assert heads == {'NSS': 'low', 'KL': 'high'}
    charts = [a['aria-label'] for tag, a in found.found if tag == 'svg']
    assert len(charts) == 2 and charts[0].startswith('NSS of 3 images: from 0.5000 to 2.5000, mean 1.5000')


def test_names_are_text(small):
    assert '<script>window.hacked' not in small.read_text('utf-8')
    assert sum(tag == 'script' for tag, _ in parsed(small).found) == 1


def test_panels_of_a_picture():
    blurred = np.zeros((300, 400))
    blurred[100:200, 100:300] = 1
    image = np.zeros((600, 800, 3), np.uint8)
    found = page.picture(saliency_map(0), np.array([[10, 10], [299, 399]]), (300, 400), blurred, image)
    columns, rows = found.aspect
    panels = cv2.imdecode(np.frombuffer(found.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert (columns, rows) == (224, 168) and panels.shape == (168, 4 * 224, 3) and found.without == ()
    small, truth, shown, overlay = np.split(panels, 4, axis=1)
    assert small.max() < 10 and shown.max() > 240 and shown.min() < 15
    assert truth[84, 112].min() > 240 and truth[150, 20].max() < 15
    dot = truth[5, 5].astype(int)
    assert dot[2] > dot[0] + 80, 'fixations are dots of another colour'
    assert np.ptp(overlay.astype(int), axis=2).max() > 100
    bare = page.picture(saliency_map(0), np.zeros((0, 2), int), (20, 30), 4)
    assert bare.aspect == (30, 20) and bare.without == ('image', 'overlay')


def test_beyond_300_images_pictures_are_files_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(page, 'INLINE', 3)
    path = tmp_path / 'my report.html'
    tables.write(str(path), report_of(VALUES, pictures))
    links = [a['src'] for tag, a in parsed(path).found if tag == 'img' and 'src' in a]
    assert links == [f'my%20report_files/00000{n}.jpg' for n in (2, 1, 3)]
    assert sorted(p.name for p in (tmp_path / 'my report_files').iterdir()) == [
        f'00000{n}.jpg' for n in (1, 2, 3)
    ]


def test_without_pictures_and_of_snapshots(tmp_path):
    tables.write(str(tmp_path / 'a.html'), report_of(VALUES, None))
    assert not [a for tag, a in parsed(tmp_path / 'a.html').found if tag == 'img' and 'src' in a]
    snapshots = report_of({}, None)._replace(summaries={15: summary(VALUES, METRICS)})
    tables.write(str(tmp_path / 'b.html'), snapshots)
    found = parsed(tmp_path / 'b.html')
    assert 'epoch' in found.text and not [a for _, a in found.found if a.get('id') == 'images']


# --- in a browser ---

needs_browser = pytest.mark.skipif(
    not (shutil.which('chromium') and shutil.which('chromedriver')),
    reason='no browser: apt-get install chromium chromium-driver',
)


@pytest.fixture(scope='module')
def chromium():
    """A headless Chromium without a network; fails where selenium is missing."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which('chromium') or 'chromium'
    for argument in ('headless=new', 'no-sandbox', 'disable-gpu', 'disable-dev-shm-usage', 'hide-scrollbars'):
        options.add_argument(f'--{argument}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which('chromedriver')))
    driver.execute_cdp_cmd('Network.enable', {})
    driver.execute_cdp_cmd('Network.emulateNetworkConditions', {
        'offline': True, 'latency': 0, 'downloadThroughput': 0, 'uploadThroughput': 0,
    })  # fmt: skip
    yield driver
    driver.quit()


class Opened:
    """A page in the browser, by what a reader sees and does."""

    def __init__(self, driver, path, width=1280, dark=False):
        self.driver = driver
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [scheme]})
        size = {'width': width, 'height': 1000, 'deviceScaleFactor': 1, 'mobile': False}
        driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
        driver.get(path.as_uri())

    def all(self, selector):
        return self.driver.find_elements('css selector', selector)

    def run(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def rows(self):
        return [
            row.get_attribute('data-name') for row in self.all('#images tr[data-name]') if row.is_displayed()
        ]

    def click(self, element):
        self.run('arguments[0].scrollIntoView({block: "center"})', element)
        element.click()

    def click_head(self, name):
        head = next(h for h in self.all('#images thead th') if h.text.split()[0] == name)
        self.click(head.find_element('css selector', 'button'))
        return head.get_attribute('aria-sort')

    def name_button(self, name):
        row = next(row for row in self.all('#images tr[data-name]') if row.get_attribute('data-name') == name)
        return row.find_element('css selector', '.name button')

    def until(self, holds):
        """Waits until `holds()`; what a browser does of a click, it does in its own time."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 10).until(lambda _: holds())

    def complaints(self):
        return [
            entry['message'] for entry in self.driver.get_log('browser') if 'favicon' not in entry['message']
        ]


@pytest.mark.long
@needs_browser
class TestInABrowser:
    def test_sorting_by_clicks(self, chromium, small):
        opened = Opened(chromium, small)
        assert opened.rows() == ['dog/01', 'lamp', HOSTILE, 'nothing there']
        assert opened.click_head('NSS') == 'descending'
        assert opened.rows() == [HOSTILE, 'lamp', 'dog/01', 'nothing there']
        assert opened.click_head('KL') == 'descending', 'the worst, which is the highest, first'
        assert opened.rows() == ['dog/01', 'lamp', HOSTILE, 'nothing there']
        assert opened.click_head('KL') == 'ascending'
        assert opened.rows() == [HOSTILE, 'lamp', 'dog/01', 'nothing there']
        assert opened.click_head('image') == 'ascending'
        assert opened.rows() == sorted(VALUES)
        assert [h.get_attribute('aria-sort') for h in opened.all('#images th[aria-sort]')] == ['ascending']

    def test_filtering_by_name_and_by_a_metric(self, chromium, small):
        from selenium.webdriver.support.ui import Select

        opened = Opened(chromium, small)
        text, low, high = (opened.all(f'[name={name}]')[0] for name in ('text', 'low', 'high'))
        text.send_keys('DOG')
        assert opened.rows() == ['dog/01'] and opened.all('#shown')[0].text == '1 of 4 images shown'
        opened.click(opened.all('form button')[0])
        opened.until(lambda: len(opened.rows()) == 4)
        low.send_keys('1')
        assert opened.rows() == ['lamp', HOSTILE]
        high.send_keys('2')
        assert opened.rows() == ['lamp']
        Select(opened.all('select')[0]).select_by_visible_text('KL')
        opened.until(lambda: opened.rows() == [])

    def test_opening_an_image(self, chromium, small):
        opened = Opened(chromium, small)
        button = opened.name_button('dog/01')
        opened.click(button)
        assert button.get_attribute('aria-expanded') == 'true'
        details = opened.all(f'#{button.get_attribute("aria-controls")}')[0]
        panels = details.find_elements('css selector', 'img')
        assert [panel.get_attribute('alt').partition(' of ')[0] for panel in panels] == [
            'The image',
            'The fixations',
            'The saliency map',
            'The saliency map over the image',
        ]
        for panel in panels:
            assert panel.is_displayed() and opened.run('return arguments[0].naturalWidth', panel) > 0
            assert opened.run('return arguments[0].getBoundingClientRect().height', panel) > 100
        assert 'NSS 0.5000' in details.text and 'KL 0.5000' in details.text
        # it stays with its image when the table is sorted, goes with it when filtered, and closes
        opened.click_head('NSS')
        order = opened.run('return [...document.querySelectorAll("#images tbody tr")].map(r => r.id)')
        assert (
            order[order.index(details.get_attribute('id')) - 1]
            == details.get_attribute('id')[len('details-of-') :]
        )
        opened.all('[name=text]')[0].send_keys('lamp')
        assert not details.is_displayed()
        opened.click(opened.all('form button')[0])
        opened.until(details.is_displayed)
        opened.click(opened.name_button('dog/01'))
        assert opened.all('tr.details') == []
        # without its image there is nothing to lay the map over; without anything there are the scores
        for name, count in (('lamp', 2), ('nothing there', 0)):
            opened.click(opened.name_button(name))
            assert len(opened.all('tr.details img')) == count and 'NSS' in opened.all('tr.details')[0].text
            opened.click(opened.name_button(name))

    def test_by_the_keyboard_alone(self, chromium, small):
        from selenium.webdriver import ActionChains, Keys

        opened = Opened(chromium, small)

        def press(*keys):
            for key in keys:
                ActionChains(chromium).send_keys(key).perform()
            return opened.run('return document.activeElement.textContent.trim()')

        assert press(Keys.TAB) == 'Skip to the table of images'
        press(Keys.ENTER)
        seen = [press(Keys.TAB) for _ in range(10)]
        assert 'Show all' in seen and 'NSS' in seen
        while press(Keys.TAB) != 'dog/01':
            assert len(seen) < 30
            seen.append('')
        outline = opened.run('return getComputedStyle(document.activeElement).outlineStyle')
        assert outline == 'solid', 'where the focus is can be seen'
        press(Keys.ENTER)
        assert len(opened.all('tr.details')) == 1
        assert press(Keys.ESCAPE) == 'dog/01' and opened.all('tr.details') == []

    def test_what_a_screen_reader_is_told(self, chromium, small):
        opened = Opened(chromium, small)
        nodes = chromium.execute_cdp_cmd('Accessibility.getFullAXTree', {})['nodes']
        told = [(n['role']['value'], n.get('name', {}).get('value', '')) for n in nodes if not n['ignored']]
        for role in (
            'heading',
            'main',
            'table',
            'columnheader',
            'rowheader',
            'button',
            'searchbox',
            'status',
        ):
            assert any(role == found for found, _ in told), role
        named = ('button', 'link', 'searchbox', 'combobox', 'spinbutton', 'region', 'form', 'image')
        assert [role for role, name in told if role in named and not name] == []
        assert opened.run('return document.documentElement.lang') == 'en'

    @pytest.mark.parametrize('dark', [False, True])
    @pytest.mark.parametrize('width', [360, 1280])
    def test_light_and_dark_wide_and_narrow(self, chromium, small, width, dark):
        opened = Opened(chromium, small, width, dark)
        opened.click(opened.name_button('dog/01'))
        assert opened.run('return document.documentElement.scrollWidth') <= width, 'the page scrolls sideways'
        right = 'return document.querySelector("tr.details img").getBoundingClientRect().right'
        assert opened.run(right) <= width
        colours = opened.run(
            """const shown = 'h1, td, th button, dt, dd, caption, .quiet, a, .name button';
            return [...document.querySelectorAll(shown)].filter(e => e.textContent.trim()).map(e => {
              const style = (element) => getComputedStyle(element);
              let behind = e;
              while (style(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
              return [style(e).color, style(behind).backgroundColor];
            })"""
        )
        for pair in {tuple(pair) for pair in colours}:
            assert contrast(*pair) >= 4.5, pair
        background = opened.run('return getComputedStyle(document.body).backgroundColor')
        assert (luminance(background) < 0.1) == dark

    def test_no_complaints_and_nothing_run(self, chromium, small):
        opened = Opened(chromium, small)
        assert opened.run('return window.hacked') is None and opened.complaints() == []

    def test_pictures_that_lie_beside_it(self, chromium, tmp_path):
        values = {f'{number:04d}': {'NSS': float(number), 'KL': 1.0} for number in range(page.INLINE + 1)}
        one = list(pictures(['first', 'second']))[1][1]
        path = tmp_path / 'a & b #1.html'
        tables.write(str(path), report_of(values, lambda stems: ((stem, one) for stem in stems)))
        assert path.stat().st_size < 500_000 and len(list((tmp_path / 'a & b #1_files').iterdir())) == 301
        opened = Opened(chromium, path)
        opened.click(opened.name_button('0300'))
        panels = opened.all('tr.details img')
        chromium.implicitly_wait(0)
        loaded = 'return arguments[0].decode().then(() => arguments[0].naturalWidth)'
        assert len(panels) == 4 and all(opened.run(loaded, panel) > 0 for panel in panels)


def luminance(colour):
    """Relative luminance of 'rgb(r, g, b)', as WCAG defines it."""
    levels = np.array([int(number) for number in re.findall(r'\d+', colour)[:3]]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
