// Shows the list of tests, with search and filters.

/** How many rows are made at a time: more would delay each keystroke. */
const PAGE = 200;

let rowLimit = PAGE;

const SORTS = {
  result: ['result', (one, two) => STATUSES.indexOf(one.status) - STATUSES.indexOf(two.status) || two.flaky - one.flaky],
  slowest: ['slowest first', (one, two) => two.time - one.time],
  name: ['name', (one, two) => one.name.localeCompare(two.name)],
  end: ['order of their ends', () => 0],
};

const ONLY = {
  flaky: ['Flaky', (test) => Boolean(test.flaky)],
  infrastructure: ['Infrastructure', (test) => Boolean(test.infrastructure)],
  'left-behind': ['Left processes', (test) => Boolean(test.left_behind)],
};

/** What can be shown alone, with the number of its tests: the same until another job is compared. */
let countedFilters = null;

function onlyFilters() {
  if (countedFilters?.other === other) return countedFilters.filters;
  const changes = other
    ? Object.entries(CHANGES).map(([key, title]) => [key, [title, (test) => test.change === key]])
    : [];
  const all = Object.entries({ ...ONLY, ...Object.fromEntries(changes) });
  const filters = Object.fromEntries(all.map(([key, [title, filter]]) =>
    [key, [title, filter, data.tests.filter(filter).length]]));
  countedFilters = { other, filters };
  return filters;
}

/** The tests that are shown: each word is in the test's text, each `-word` is not. */
function matching() {
  const statuses = chosen('status');
  const filters = onlyFilters();
  const only = [...chosen('only')].map((key) => filters[key]?.[1]).filter(Boolean);
  const words = shown.search.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = words.filter((word) => !word.startsWith('-'));
  const unwanted = words.filter((word) => word.length > 1 && word.startsWith('-')).map((word) => word.slice(1));
  const found = data.tests.filter((test) =>
    (statuses.size === 0 || statuses.has(test.status)) &&
    only.every((filter) => filter(test)) &&
    wanted.every((word) => test.text.includes(word)) &&
    !unwanted.some((word) => test.text.includes(word)));
  const [, compare] = SORTS[shown.sort] ?? SORTS.result;
  return found.sort((one, two) => compare(one, two) || one.place - two.place);
}

/** The tools stay while the list changes, so that the search field keeps the focus. */
function testsView() {
  const sorts = Object.entries(SORTS).map(([key, [title]]) =>
    make('option', { value: key, selected: shown.sort === key }, title));
  const search = make('input', {
    type: 'search', id: 'search', value: shown.search, 'aria-label': 'Search',
    placeholder: 'Search names, cases, reasons, tags; -word leaves out',
    oninput: (event) => {
      rowLimit = PAGE;
      show({ search: event.target.value });
    },
  });
  const sort = make('select', { onchange: (event) => show({ sort: event.target.value }) }, sorts);
  return [
    make('div', { class: 'tools' }, search, make('label', null, 'Sort by', sort),
      make('span', { id: 'only' })),
    compareTool(),
    make('p', { id: 'count', class: 'quiet', role: 'status' }),
    make('div', { id: 'list' }),
  ];
}

function updateTests() {
  const found = matching();
  const count = found.length === data.tests.length
    ? counted(found.length, 'test', 'tests')
    : `${found.length.toLocaleString('en')} of ${counted(data.tests.length, 'test', 'tests')}`;
  document.getElementById('count').textContent = count;
  const only = Object.entries(onlyFilters())
    .map(([key, [title, , number]]) => [key, title, number])
    .filter(([key, , number]) => number > 0 || chosen('only').has(key))
    .map(([key, title, number]) => make('button', {
      'aria-pressed': chosen('only').has(key), onclick: () => toggle('only', key),
    }, `${title} ${number}`));
  document.getElementById('only').replaceChildren(...only.flatMap((button) => [button, ' ']));
  const rows = found.slice(0, rowLimit).flatMap(row);
  // A test that a link names is shown, whatever the filters hide.
  const named = data.byId.get(shown.test);
  const isHidden = named && !found.slice(0, rowLimit).includes(named);
  document.getElementById('list').replaceChildren(
    make('table', null,
      make('thead', null, make('tr', null, ['Status', 'Test'].map((title) => make('th', { scope: 'col' }, title)),
        make('th', { scope: 'col', class: 'number' }, 'Time'))),
      make('tbody', null, isHidden ? row(named) : [], rows)),
    found.length > rowLimit
      ? make('p', { class: 'more' }, make('button', {
        onclick: () => {
          rowLimit += PAGE;
          updateTests();
        },
      }, `Show ${Math.min(PAGE, found.length - rowLimit)} more of ${(found.length - rowLimit).toLocaleString('en')}`))
      : '');
}

function row(test) {
  const isOpen = shown.test === test.id;
  const name = make('button', {
    class: 'name', 'aria-expanded': isOpen,
    onclick: () => show({ test: isOpen ? '' : test.id }, true),
  }, test.name);
  const marks = [
    test.flaky && `flaky, ${test.attempts?.length + 1} attempts`,
    test.change && CHANGES[test.change],
    test.infrastructure && 'infrastructure',
  ].filter(Boolean).join(', ');
  const line = make('tr', { class: isOpen ? 'open' : null },
    make('td', null, statusText(test.status)),
    make('td', null, name, marks && make('span', { class: 'quiet' }, ` (${marks})`),
      !isOpen && test.reason && make('div', { class: 'reason' }, firstLine(test.reason))),
    make('td', { class: 'number' }, duration(test.time)));
  return isOpen ? [line, make('tr', { class: 'open' }, make('td', { colspan: 3 }, details(test)))] : [line];
}

function firstLine(text) {
  const [line] = text.split('\n', 1);
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}

/** Arrow keys move between the names of tests. */
function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.classList?.contains('name')) return;
  const names = [...document.querySelectorAll('#list .name')];
  const next = names[names.indexOf(event.target) + step];
  if (next) {
    next.focus();
    event.preventDefault();
  }
}
