// The rules of HTTP Archive 1.2, http://www.softwareishard.com/blog/har-12-spec/, as a checker.

type Check = (value: unknown, at: string) => string[];

/** What is wrong with an archive; nothing, if it keeps to every rule. */
export function faultsOf(archive: unknown): string[] {
  const copy: unknown = JSON.parse(JSON.stringify(archive));
  return [...object({ log })(copy, 'har'), ...sums(copy)];
}

const text: Check = (value, at) => (typeof value === 'string' ? [] : [`${at} is no string`]);
const whole: Check = (value, at) => (Number.isInteger(value) ? [] : [`${at} is no whole number`]);
const flag: Check = (value, at) => (typeof value === 'boolean' ? [] : [`${at} is no boolean`]);
const nothing: Check = (value, at) => (Object.keys(Object(value)).length === 0 ? [] : [`${at} is not empty`]);
const date: Check = (value, at) =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(String(value)) &&
  !Number.isNaN(Date.parse(String(value)))
    ? []
    : [`${at} is no ISO 8601 date with a zone`];
const absolute: Check = (value, at) =>
  URL.canParse(String(value)) && !String(value).includes('#') ? [] : [`${at} is no absolute URL without a fragment`];

/** A number from `least`. */
function number(least: number, isWhole = false): Check {
  return (value, at) => {
    const isGood = typeof value === 'number' && Number.isFinite(value) && value >= least;
    // -1 means "unknown" or "did not happen", other numbers below 0 nothing.
    const isBetween = typeof value === 'number' && value < 0 && value !== -1;
    return isGood && !isBetween && (!isWhole || Number.isInteger(value)) ? [] : [`${at} is ${value}`];
  };
}

function exactly(...wanted: readonly unknown[]): Check {
  return (value, at) => (wanted.includes(value) ? [] : [`${at} is ${value}, not ${wanted.join(' or ')}`]);
}

function list(check: Check): Check {
  return (value, at) =>
    Array.isArray(value) ? value.flatMap((each, index) => check(each, `${at}[${index}]`)) : [`${at} is no list`];
}

/** An object with these fields; those with `?` may be missing, and others too if their names begin with `_`. */
function object(fields: Readonly<Record<string, Check>>): Check {
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${at} is no object`];
    const known = new Set(Object.keys(fields).map((name) => name.replace('?', '')));
    const strange = Object.keys(value).filter((name) => !known.has(name) && !name.startsWith('_'));
    const wrong = Object.entries(fields).flatMap(([key, check]) => {
      const name = key.replace('?', '');
      if (name in value) return check(Reflect.get(value, name), `${at}.${name}`);
      return key.endsWith('?') ? [] : [`${at}.${name} is missing`];
    });
    return [...strange.map((name) => `${at}.${name} is unknown`), ...wrong];
  };
}

const pair = object({ name: text, value: text, 'comment?': text });
const cookie = object({
  name: text,
  value: text,
  'path?': text,
  'domain?': text,
  'expires?': date,
  'httpOnly?': flag,
  'secure?': flag,
});
const parameter = object({ name: text, 'value?': text, 'fileName?': text, 'contentType?': text });
const postData: Check = (value, at) => [
  ...object({ mimeType: text, 'params?': list(parameter), 'text?': text, 'comment?': text })(value, at),
  // "Note that text and params fields are mutually exclusive."
  ...('params' in Object(value) === 'text' in Object(value) ? [`${at} needs either params or text`] : []),
];
const request = object({
  method: text,
  url: absolute,
  httpVersion: exactly('HTTP/1.1'),
  cookies: list(cookie),
  headers: list(pair),
  queryString: list(pair),
  'postData?': postData,
  headersSize: number(-1, true),
  bodySize: number(-1, true),
});
const content = object({
  size: number(0, true),
  'compression?': whole,
  mimeType: text,
  'text?': text,
  'encoding?': exactly('base64'),
  'comment?': text,
});
const response = object({
  status: number(0, true),
  statusText: text,
  httpVersion: exactly('HTTP/1.1'),
  cookies: list(cookie),
  headers: list(pair),
  content,
  redirectURL: text,
  headersSize: number(-1, true),
  bodySize: number(-1, true),
});
const timings = object({
  'blocked?': number(-1),
  'dns?': number(-1),
  'connect?': number(-1),
  send: number(0),
  wait: number(0),
  receive: number(0),
  'ssl?': number(-1),
});
const entry = object({
  startedDateTime: date,
  time: number(0),
  request,
  response,
  cache: nothing,
  timings,
  'serverIPAddress?': text,
  'connection?': text,
  'comment?': text,
});
const log = object({
  version: exactly('1.2'),
  creator: object({ name: text, version: text }),
  entries: list(entry),
});

interface Times {
  readonly time: number;
  readonly timings: Readonly<Record<'blocked' | 'dns' | 'connect' | 'send' | 'wait' | 'receive' | 'ssl', number>>;
}

/** "time: This is the sum of all timings available in the timings object (i.e. not including -1 values)"; ssl is in connect. */
function sums(archive: unknown): string[] {
  const entries: (Times & { readonly startedDateTime: string })[] = Object(archive).log?.entries ?? [];
  const started = entries.map(({ startedDateTime }) => Date.parse(startedDateTime));
  const wrong = entries.flatMap(({ time, timings: { blocked, dns, connect, send, wait, receive, ssl } }, index) => {
    const sum = [blocked, dns, connect, send, wait, receive].reduce((all, each) => all + Math.max(0, each), 0);
    const faults = Math.abs(sum - time) < 0.001 ? [] : [`entries[${index}].time is ${time}, but its parts are ${sum}`];
    return ssl > connect + 0.001 ? [...faults, `entries[${index}]: ssl is longer than connect`] : faults;
  });
  const isSorted = started.every((each, index) => index === 0 || each >= (started[index - 1] ?? 0));
  return isSorted ? wrong : [...wrong, 'the entries are not in the order of their start'];
}
