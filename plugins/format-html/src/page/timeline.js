// Shows when each test ran: a lane for each test that ran at the same time in an environment.

const LANE = 18;
const WIDTH = 1100;

/** More rectangles make the drawing slow; those that ran longest are shown. */
const MOST_DRAWN = 5000;

function environmentName(test) {
  const { spawner, host, image } = test.environment ?? {};
  return [spawner ?? 'process', host, image].filter(Boolean).join(' ');
}

/** Gives each test the first lane of its environment that is free. */
function lanes(tests) {
  const environments = new Map();
  for (const test of [...tests].sort((one, two) => one.start - two.start)) {
    const name = environmentName(test);
    if (!environments.has(name)) environments.set(name, []);
    const ends = environments.get(name);
    let lane = ends.findIndex((end) => end <= test.start + 1e-6);
    if (lane < 0) lane = ends.length;
    ends[lane] = test.start + test.time;
    test.lane = lane;
  }
  return environments;
}

function timelineView() {
  const ran = data.tests.filter((test) => test.start !== undefined);
  if (ran.length === 0) return make('p', null, 'No test has started.');
  const environments = lanes(ran);
  const total = Math.max(...ran.slice(0, 1).map(end), ran.reduce((last, test) => Math.max(last, end(test)), 0)) || 1;
  const drawn = ran.length > MOST_DRAWN
    ? [...ran].sort((one, two) => two.time - one.time).slice(0, MOST_DRAWN) : ran;
  const left = ran.length - drawn.length;
  const parts = [];
  let top = 0;
  for (const [name, ends] of environments) {
    parts.push(draw('text', { x: 4, y: top + 14 }, `${name}: ${counted(ends.length, 'lane', 'lanes')}`));
    top += 20;
    const begin = top;
    ends.forEach((_, lane) => parts.push(draw('rect', {
      class: 'lane', x: 0, y: begin + lane * LANE, width: WIDTH, height: LANE - 2,
    })));
    for (const test of drawn.filter((one) => environmentName(one) === name)) {
      parts.push(bar(test, begin, total));
    }
    top += ends.length * LANE + 6;
  }
  const label = `${counted(ran.length, 'test', 'tests')} in ${duration(total)}`;
  return [
    make('h2', null, 'Timeline'),
    make('p', { class: 'quiet' }, `${label}. A bar leads to its test.`,
      left > 0 && ` ${counted(left, 'short test is', 'short tests are')} not drawn.`),
    make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Timeline' },
      draw('svg', { width: WIDTH, height: top, role: 'group', 'aria-label': label }, parts)),
    slowest(ran),
  ];
}

function end(test) {
  return test.start + test.time;
}

function bar(test, top, total) {
  const rect = draw('rect', {
    class: test.status, x: (test.start / total) * WIDTH, y: top + test.lane * LANE + 1,
    width: Math.max(1.5, (test.time / total) * WIDTH), height: LANE - 4,
  }, draw('title', null, `${test.name}: ${test.status}, ${duration(test.time)}`));
  rect.addEventListener('click', () => show({ view: 'tests', test: test.id }, true));
  return rect;
}

/** The same for those who do not see the drawing: the tests that ran longest. */
function slowest(ran) {
  const longest = [...ran].sort((one, two) => two.time - one.time).slice(0, 20);
  return table('The tests that ran longest',
    [{ title: 'Test' }, { title: 'Status' }, { title: 'Started', number: true }, { title: 'Time', number: true }],
    longest.map((test) => [testLink(test.id, test.name), statusText(test.status), duration(test.start), duration(test.time)]));
}

function testLink(id, name) {
  return make('button', { class: 'name', onclick: () => show({ view: 'tests', test: id }, true) }, name);
}
