// Compares the job with another one, whose page or results.json the user opens. Nothing is sent.

/** The other job: its name, and its tests by name. None until one is opened. */
let other = null;

/** The name of a test in its id: `SUITE-NUMBER-NAME;VARIANT` without the number, which may change. */
function nameInId({ id }) {
  return id.replace(/^(.*?-)??\d+-/, '$1');
}

function nameForPeople({ name }) {
  return name;
}

/** Reads the text of another page of this kind, or of a results.json, whose names lack the suite. */
function parseOther(text) {
  const begin = text.indexOf('id="records">');
  if (begin >= 0) {
    const end = text.indexOf('<\/script>', begin);
    const read = parseRecords(text.slice(begin + 'id="records">'.length, end < 0 ? undefined : end));
    return { name: read.job.name, tests: read.tests, key: nameForPeople };
  }
  const results = JSON.parse(text);
  if (!Array.isArray(results.tests)) throw new Error('it has no tests');
  const tests = results.tests.map(({ name, id, status, time_elapsed: time, cases, cases_left_out }) =>
    ({ name, id: id ?? name, status, time: time ?? 0, cases, cases_left_out }));
  return { name: results.job_id ?? 'another job', tests, key: nameInId };
}

/** Marks each test with how it compares: new, newly failed, fixed, still failing, slower. */
function compareWith(read) {
  const before = new Map(read.tests.map((test) => [read.key(test), test]));
  for (const test of data.tests) {
    const old = before.get(read.key(test));
    before.delete(read.key(test));
    test.before = old ?? null;
    markCases(test, old);
    test.change = changeOf(test, old);
  }
  other = { name: read.name, gone: [...before.values()] };
}

/** Marks the failed cases of a test that did not fail before. */
function markCases(test, old) {
  const before = new Map((old?.cases ?? []).map(({ path, status }) => [path.join('\0'), status]));
  for (const one of test.cases ?? []) {
    const status = before.get(one.path.join('\0'));
    // A case that the other job left out may have failed there.
    const isUnknown = status === undefined && (!old || old.cases_left_out > 0);
    one.isNewlyFailed = !isGood(one.status) && !isUnknown && (status === undefined || isGood(status));
  }
}

function changeOf(test, old) {
  const good = isGood(test.status);
  if (!old) return good ? 'new' : 'newly-failed';
  if (!good) {
    const isNew = isGood(old.status) || (test.cases ?? []).some((one) => one.isNewlyFailed);
    return isNew ? 'newly-failed' : 'still-failing';
  }
  if (!isGood(old.status)) return 'fixed';
  // Less than that is noise on most machines.
  if (test.time > 1.5 * old.time && test.time - old.time > 0.5) return 'slower';
  return '';
}

const CHANGES = {
  'newly-failed': 'newly failed', 'still-failing': 'still failing', fixed: 'fixed', new: 'new',
  slower: 'slower',
};

async function openOther(file) {
  try {
    compareWith(parseOther(await file.text()));
    document.getElementById('compare-error')?.remove();
  } catch (error) {
    other = null;
    document.getElementById('compare').append(make('span', { id: 'compare-error', role: 'alert' },
      `${file.name} is neither a page of Persea nor a results.json: ${error.message}`));
    return;
  }
  render();
}

function compareTool() {
  const input = make('input', {
    type: 'file', accept: '.html,.json', onchange: () => input.files[0] && openOther(input.files[0]),
  });
  const gone = other && other.gone.length > 0 &&
    make('span', { class: 'quiet' },
      `${counted(other.gone.length, 'test of it is', 'tests of it are')} gone`);
  return make('div', { class: 'tools', id: 'compare' },
    make('label', null, other ? `Compared with ${other.name}; another:` : 'Compare with another job:', input),
    gone || null);
}
