// Makes elements. Text is only ever set as text, so nothing that a test prints becomes markup.

/** Makes an element; `on…` properties are listeners, children are elements or texts. */
function make(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** Makes an element of a drawing. */
function draw(name, properties, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), properties, children);
}

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key.startsWith('aria-')) element.setAttribute(key, String(value));
    else if (value === false) continue;
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** A table of rows; `number` marks columns that are aligned to the right. */
function table(caption, columns, rows) {
  const head = columns.map(({ title, number }) =>
    make('th', { scope: 'col', class: number ? 'number' : null }, title));
  const body = rows.map((row) => make('tr', null, row.map((cell, column) =>
    make('td', { class: columns[column].number ? 'number' : null }, cell))));
  return make('table', null,
    make('caption', { class: 'quiet' }, caption),
    make('thead', null, make('tr', null, head)),
    make('tbody', null, body));
}

function statusText(status) {
  return make('span', { class: `status ${status}` }, status);
}

/** A link to a file of the job. The page may lie elsewhere than the job's directory. */
function jobLink(path, text) {
  const parts = path.split('/').map(encodeURIComponent).join('/');
  const here = decodeURIComponent(location.pathname).replace(/\/[^/]*$/, '');
  const isLocal = location.protocol === 'file:' && here !== data.job.directory;
  const base = isLocal ? `file://${data.job.directory.split('/').map(encodeURIComponent).join('/')}/` : '';
  return make('a', { href: base + parts }, text ?? path);
}
