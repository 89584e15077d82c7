// Runs before a test file, and as its reporter: writes what node:test says as lines of JSON to the
// report of the process. Child processes and worker threads write nothing.
import { writeSync } from 'node:fs';
import { inspect } from 'node:util';

const key = Symbol.for('persea.report');
const descriptor = process.env.PERSEA_REPORT_FD;
if (descriptor !== undefined) {
  // A child may have something else at this number, such as its channel to this process.
  delete process.env.PERSEA_REPORT_FD;
  globalThis[key] = (line) => writeSync(Number(descriptor), `${JSON.stringify(line)}\n`);
  // A process that calls process.exit() does not come here.
  process.once('beforeExit', () => globalThis[key]({ type: 'idle' }));
}

function described(error) {
  const cause = error.cause ?? error;
  const isError = cause instanceof Error || typeof cause?.stack === 'string';
  return {
    kind: String(error.failureType),
    message: isError ? String(cause.message) : typeof cause === 'string' ? cause : inspect(cause),
    stack: isError ? String(cause.stack) : undefined,
  };
}

export default async function* report(source) {
  const write = globalThis[key];
  for await (const { type, data } of source) {
    if (write && typeof data?.name === 'string' && typeof data.nesting === 'number') {
      const { name, nesting, file, line, skip, todo, details } = data;
      write({
        type: type.replace('test:', ''),
        name,
        nesting,
        file,
        line,
        skip,
        todo,
        suite: details?.type === 'suite',
        milliseconds: details?.duration_ms,
        error: details?.error ? described(details.error) : undefined,
      });
    }
  }
  write?.({ type: 'end' });
}
