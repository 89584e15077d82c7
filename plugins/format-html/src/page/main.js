// Shows the job, and what the address asks for.

const data = prepare(parseRecords(document.getElementById('records').textContent));

const VIEWS = {
  tests: { title: 'Tests', make: testsView },
  timeline: { title: 'Timeline', make: timelineView },
  needs: { title: 'Order', make: needsView, count: () => data.planned.length },
  requirements: { title: 'Requirements', make: requirementsView, count: () => data.requirements.length },
  warnings: { title: 'Warnings', make: warningsView, count: () => data.warnings.length },
};

function requirementsView() {
  return [make('h2', null, 'Requirements'), table('In the order in which they were met',
    [{ title: 'Requirement' }, { title: 'Scope' }, { title: 'State' }, { title: 'Resolver' }, { title: 'Time', number: true }],
    data.requirements.map((one) => [
      [one.name, one.task && make('div', { class: 'quiet' }, `for ${one.task}`)], one.scope,
      [one.state, one.reason && make('div', { class: 'reason' }, one.reason)],
      [one.resolver, one.spawner && ` in ${one.spawner}`], duration(one.time),
    ])), data.end?.switches && make('p', null, `Environments were switched ${counted(data.end.switches, 'time', 'times')}.`)];
}

function warningsView() {
  return [make('h2', null, 'Warnings'), make('ul', null, data.warnings.map((one) =>
    make('li', null, [one.reference, one.plugin].filter(Boolean).join(', '), ': ', one.message)))];
}

function showJob() {
  const { job, end } = data;
  document.getElementById('title').textContent = job.name ?? 'Job';
  document.getElementById('facts').textContent = [
    new Date(job.started).toLocaleString('en-GB', { timeZoneName: 'short' }),
    end?.time && duration(end.time), `Persea ${job.version}`, job.project,
    job.shuffle_seed && `shuffled by ${job.shuffle_seed}`,
  ].filter(Boolean).join(' · ');
  const missing = job.total - data.tests.length;
  const banner = [
    !end?.complete && 'This job did not come to its end.',
    end?.interrupted_by && `The job was cut short: ${end.interrupted_by}.`,
    missing > 0 && `${counted(missing, 'test has', 'tests have')} no result.`,
  ].filter(Boolean).join(' ');
  document.getElementById('banner').textContent = banner;
  document.getElementById('banner').hidden = banner === '';
}

function showTally() {
  const buttons = STATUSES.map((status) => [status, data.tally.get(status) ?? 0])
    .filter(([, number]) => number > 0)
    .map(([status, number]) => make('button', {
      'aria-pressed': chosen('status').has(status), onclick: () => toggle('status', status),
    }, statusText(status), ` ${number.toLocaleString('en')}`));
  document.getElementById('tally').replaceChildren(...buttons);
}

function showViews() {
  const buttons = Object.entries(VIEWS).filter(([, { count }]) => !count || count() > 0)
    .map(([key, { title, count }]) => make('button', {
      'aria-current': shown.view === key, onclick: () => show({ view: key }, true),
    }, count ? `${title} ${count()}` : title));
  document.getElementById('views').replaceChildren(...buttons);
}

let madeView = null;

function render() {
  if (!VIEWS[shown.view]) shown.view = 'tests';
  showTally();
  showViews();
  const made = `${shown.view} ${other?.name}`;
  if (madeView !== made || shown.view !== 'tests') {
    document.getElementById('main').replaceChildren(...[VIEWS[shown.view].make()].flat().filter(Boolean));
    madeView = made;
  }
  if (shown.view === 'tests') updateTests();
}

function reset() {
  shown = readAddress();
  madeView = null;
  render();
}

document.addEventListener('keydown', (event) => {
  moveFocus(event);
  if (event.key === '/' && !/^(INPUT|SELECT)$/.test(event.target.tagName)) {
    show({ view: 'tests' });
    document.getElementById('search').focus();
    event.preventDefault();
  }
});
window.addEventListener('popstate', reset);
window.addEventListener('hashchange', reset);
showJob();
reset();
document.getElementById('main').querySelector('tr.open')?.scrollIntoView();
