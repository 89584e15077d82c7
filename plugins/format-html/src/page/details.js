// Shows one test: why it ended so, its output, its attempts, its cases, its files.

function details(test) {
  return make('div', { class: 'detail' },
    test.reason && make('p', null, make('strong', null, test.reason)),
    test.attempts && attempts(test),
    test.traceback && [make('h2', null, 'Traceback'), make('pre', { tabindex: 0 }, test.traceback)],
    (test.output ?? []).map(output),
    test.cases && cases(test),
    facts(test),
    test.files && test.files.length > 0 && files(test));
}

function output({ name, head, left_out: leftOut, tail }) {
  const text = leftOut
    ? [head, make('span', { class: 'quiet' }, `\n[${leftOut.toLocaleString('en')} bytes are left out]\n`), tail]
    : head;
  return [make('h2', null, name), make('pre', { tabindex: 0 }, text)];
}

function attempts(test) {
  const last = { status: test.status, reason: test.reason, time: test.time, directory: test.directory };
  const all = [...test.attempts, last];
  return [make('h2', null, 'Attempts'), make('div', { class: 'attempts' }, all.map((attempt, index) =>
    make('section', { 'aria-label': `Attempt ${index + 1}` },
      make('p', null, `${index + 1}: `, statusText(attempt.status), ` after ${duration(attempt.time)}`),
      attempt.cause && make('p', null, `Not the test's fault: ${attempt.cause}`),
      attempt.reason && make('p', { class: 'reason' }, attempt.reason),
      attempt.directory && make('p', null, jobLink(attempt.directory, 'its files')))))];
}

/** The cases as a tree. A group is open if something in it did not pass. */
function cases(test) {
  const root = { groups: new Map(), cases: [] };
  for (const one of test.cases) {
    let group = root;
    for (const name of one.path.slice(0, -1)) {
      if (!group.groups.has(name)) group.groups.set(name, { groups: new Map(), cases: [] });
      group = group.groups.get(name);
    }
    group.cases.push(one);
  }
  const left = test.cases_left_out;
  return [make('h2', null, counted(test.cases.length + (left ?? 0), 'case', 'cases')), tree(root),
    left && make('p', { class: 'quiet' }, `${counted(left, 'case is', 'cases are')} left out`)];
}

function hasBad(group) {
  return group.cases.some(({ status }) => !isGood(status)) || [...group.groups.values()].some(hasBad);
}

function tree(group) {
  const leaves = group.cases.map((one) => make('li', null, statusText(one.status), ' ',
    one.path.at(-1), one.time === undefined ? null : ` (${duration(one.time)})`,
    one.isNewlyFailed && make('strong', null, ' newly failed'),
    one.reason && make('div', { class: 'reason' }, one.reason)));
  const groups = [...group.groups].map(([name, inner]) => make('li', null,
    make('details', { open: hasBad(inner) }, make('summary', null, name), tree(inner))));
  return make('ul', { class: 'cases' }, leaves, groups);
}

function facts(test) {
  const environment = Object.entries(test.environment ?? {}).map(([key, value]) => `${key} ${value}`);
  const tags = Object.entries(test.tags ?? {}).map(([tag, values]) => [tag, ...(values ?? [])].join(': '));
  const rows = [
    ['Id', test.id], ['Kind', test.kind], ['Uri', test.uri], ['Suite', test.suite],
    ['Variant', test.variant], ['Tags', tags.join(', ')],
    ['Started', test.start === undefined ? 'never' : `${duration(test.start)} after the job`],
    ['Processor time', test.cpu === undefined ? '' : duration(test.cpu)],
    ['Peak memory', test.peak_memory === undefined ? '' : size(test.peak_memory)],
    ['Left behind', test.left_behind && counted(test.left_behind, 'process', 'processes')],
    ['Environment', environment.join(', ')],
    ['Before', test.before && `${test.before.status} after ${duration(test.before.time)}`],
    ['Infrastructure', test.infrastructure && 'its environment is to blame, and not the test'],
    ['Run it again', test.id && `persea run --failed ${data.job.id.slice(0, 7)}`],
  ];
  const wanted = rows.filter(([name, value]) => value && (name !== 'Run it again' || !isGood(test.status)));
  return make('dl', { class: 'facts' },
    wanted.map(([name, value]) => [make('dt', null, name), make('dd', null, value)]));
}

function files(test) {
  return [make('h2', null, 'Files'), make('ul', null, test.files.map(({ name, size: bytes }) =>
    make('li', null, jobLink(`${test.directory}/${name}`, name), ` ${size(bytes)}`))),
    test.batch_directory && make('p', null, jobLink(test.batch_directory, 'other output of its batch'))];
}
