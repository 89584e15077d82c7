// Keeps the view, the search and the filters in the address, so that a link shows the same.

const DEFAULTS = { view: 'tests', search: '', status: '', sort: 'result', only: '', test: '' };

let shown = { ...DEFAULTS };

function readAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const read = { ...DEFAULTS };
  for (const key of Object.keys(DEFAULTS)) {
    if (parameters.has(key)) read[key] = parameters.get(key);
  }
  return read;
}

/** Changes what is shown. `inHistory` makes a step that the browser's back button undoes. */
function show(changes, inHistory = false) {
  shown = { ...shown, ...changes };
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(shown)) {
    if (value !== DEFAULTS[key]) parameters.set(key, value);
  }
  const address = `#${parameters}`;
  if (address !== (location.hash || '#')) {
    if (inHistory) history.pushState(null, '', address);
    else history.replaceState(null, '', address);
  }
  render();
}

/** The filters that are chosen, as a set. */
function chosen(key) {
  return new Set(shown[key].split(',').filter(Boolean));
}

function toggle(key, value) {
  const set = chosen(key);
  if (!set.delete(value)) set.add(value);
  show({ [key]: [...set].join(','), view: 'tests' });
}
