// Reads the data of the page. Owns what a test is for the other parts.

const STATUSES = ['FAIL', 'ERROR', 'INTERRUPTED', 'WARN', 'CANCEL', 'SKIP', 'PASS'];

/** Parses lines of records. A cut last line, of a host that was killed, is left out. */
function parseRecords(text) {
  const data = { job: {}, end: null, tests: [], planned: [], requirements: [], warnings: [] };
  for (const line of text.split('\n')) {
    if (line === '') continue;
    let record;
    try {
      record = JSON.parse(line);
    } catch {
      continue;
    }
    switch (record.record) {
      case 'job': data.job = record; break;
      case 'end': data.end = record; break;
      case 'test': data.tests.push(record); break;
      case 'planned': data.planned.push(record); break;
      case 'requirement': data.requirements.push(record); break;
      case 'warning': data.warnings.push(record); break;
    }
  }
  return data;
}

/** Adds what searching, sorting and counting need, once: each test's place and text, the tally. */
function prepare(data) {
  data.tests.forEach((test, place) => {
    test.place = place;
    const tags = Object.entries(test.tags ?? {}).flatMap(([tag, values]) => [tag, ...(values ?? [])]);
    const cases = (test.cases ?? []).flatMap(({ path, reason }) => [path.join(' > '), reason]);
    test.text = [test.name, test.id, test.kind, test.reason, test.suite, test.variant, ...tags, ...cases]
      .filter(Boolean).join('\n').toLowerCase();
  });
  data.tally = new Map();
  for (const { status } of data.tests) data.tally.set(status, (data.tally.get(status) ?? 0) + 1);
  data.byId = new Map(data.tests.map((test) => [test.id, test]));
  return data;
}

function isGood(status) {
  return status === 'PASS' || status === 'SKIP' || status === 'CANCEL' || status === 'WARN';
}

/** Seconds as people read them. */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return '';
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`;
}

function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function counted(number, one, many) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}
