// Shows which tests wait for which others, as a drawing and as a table.

/** A larger graph cannot be read as a drawing. */
const MOST_NODES = 300;

const NODE = { width: 210, height: 26, right: 70, below: 12 };

/** The edges between tests, from names or ids to ids. */
function edges() {
  const byName = new Map();
  for (const test of [...data.planned, ...data.tests]) {
    byName.set(test.name, test.id);
    byName.set(test.id, test.id);
  }
  for (const test of data.tests) {
    // A need may also name the test without its suite.
    const plain = test.suite && test.name.startsWith(`${test.suite}:`) ? test.name.slice(test.suite.length + 1) : null;
    if (plain && !byName.has(plain)) byName.set(plain, test.id);
  }
  return data.planned.flatMap(({ id, needs, after }) => [
    ...needs.map((name) => ({ to: id, from: byName.get(name) ?? name, must: true })),
    ...after.map((name) => ({ to: id, from: byName.get(name) ?? name, must: false })),
  ]);
}

/** The column of each node: one more than that of the last one it waits for. */
function columnsOf(all) {
  const waits = new Map();
  for (const { from, to } of all) {
    waits.set(from, waits.get(from) ?? []);
    waits.set(to, [...(waits.get(to) ?? []), from]);
  }
  const columns = new Map();
  // A plan has no circles, so each round settles at least one more node.
  for (let round = 0; round <= waits.size && columns.size < waits.size; round += 1) {
    for (const [node, before] of waits) {
      if (!columns.has(node) && before.every((one) => columns.has(one))) {
        columns.set(node, 1 + Math.max(-1, ...before.map((one) => columns.get(one))));
      }
    }
  }
  return columns;
}

function needsView() {
  const all = edges();
  if (all.length === 0) return make('p', null, 'No test waits for another one.');
  const columns = columnsOf(all);
  const title = (id) => data.byId.get(id)?.name ?? data.planned.find((one) => one.id === id)?.name ?? id;
  return [
    make('h2', null, 'What waits for what'),
    columns.size > MOST_NODES
      ? make('p', { class: 'quiet' }, `A drawing of ${columns.size} tests could not be read; the table has them all.`)
      : graph(all, columns, title),
    table('A test that needs another one runs only if that one passes',
      [{ title: 'Test' }, { title: 'waits for' }, { title: 'how' }],
      all.map(({ from, to, must }) => [testLink(to, title(to)), testLink(from, title(from)), must ? 'needs it' : 'after it'])),
  ];
}

function graph(all, columns, title) {
  const places = new Map();
  const heights = [];
  for (const [id, column] of columns) {
    const line = heights[column] ?? 0;
    heights[column] = line + 1;
    places.set(id, {
      x: 10 + column * (NODE.width + NODE.right), y: 10 + line * (NODE.height + NODE.below),
    });
  }
  const lines = all.filter(({ from, to }) => places.has(from) && places.has(to)).map(({ from, to, must }) => {
    const [one, two] = [places.get(from), places.get(to)];
    const [x1, y1, x2, y2] = [one.x + NODE.width, one.y + NODE.height / 2, two.x, two.y + NODE.height / 2];
    const middle = (x1 + x2) / 2;
    return draw('path', {
      class: 'edge', d: `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`,
      'stroke-dasharray': must ? null : '4 3',
    });
  });
  const nodes = [...places].map(([id, { x, y }]) => {
    const status = data.byId.get(id)?.status ?? '';
    const name = title(id);
    const node = draw('a', { href: '#', 'aria-label': `${name} ${status}` },
      draw('rect', { class: 'node', x, y, width: NODE.width, height: NODE.height, rx: 4 }),
      draw('rect', { class: status, x, y, width: 6, height: NODE.height }),
      draw('text', { x: x + 12, y: y + 17 }, name.length > 30 ? `${name.slice(0, 29)}…` : name),
      draw('title', null, `${name} ${status}`));
    node.addEventListener('click', (event) => {
      event.preventDefault();
      show({ view: 'tests', test: id }, true);
    });
    return node;
  });
  return make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Graph of needs' },
    draw('svg', {
      width: 20 + heights.length * (NODE.width + NODE.right),
      height: 20 + Math.max(...heights) * (NODE.height + NODE.below), role: 'group',
      'aria-label': `${columns.size} tests`,
    }, lines, nodes));
}
