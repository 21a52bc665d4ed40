// The client of the map test, in a process of its own so that nobody else's memory is measured. Gets as many URLs as it is
// told through `Session.map`, from a generator, and prints what it saw (JSON).
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Session } from '@cloudlane/session';

/** What the client found. */
export interface MapReport {
  readonly answers: number;
  /** Answers that do not stand where their request stood. */
  readonly misplaced: number;
  /** Most requests that the generator had given more than answers had come. */
  readonly mostAhead: number;
  /** Bytes of heap in use after a collection, at each tenth of the requests. */
  readonly heaps: readonly number[];
  /** Bytes: the most that the process ever had in memory. */
  readonly peakRss: number;
}

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');
const [url = '', count = 0, keepsAnswers = false]: [string, number, boolean] = JSON.parse(
  process.env.CLOUDLANE_MAP ?? '[]',
);
const heaps: number[] = [];
let answered = 0;
let mostAhead = 0;

function* urls(): Generator<string> {
  for (let index = 0; index < count; index += 1) {
    mostAhead = Math.max(mostAhead, index + 1 - answered);
    if (index % (count / 10) === 0) measure();
    yield `${url}/${index}`;
  }
}

function measure(): void {
  collect();
  heaps.push(process.memoryUsage().heapUsed);
}

const session = new Session();
const results = await (keepsAnswers ? keepAnswers() : keepNumbers());
const misplaced = results.filter((value, index) => value !== index).length;
const report: MapReport = {
  answers: answered,
  misplaced,
  mostAhead,
  heaps,
  peakRss: process.resourceUsage().maxRSS * 1024,
};
process.stdout.write(JSON.stringify(report));

/** Keeps of each answer its number alone. */
async function keepNumbers(): Promise<readonly unknown[]> {
  return await session.map(urls(), {
    size: 64,
    each: async (response) => {
      answered += 1;
      return Number(await response.text());
    },
  });
}

/** Keeps all answers, bodies included. */
async function keepAnswers(): Promise<readonly unknown[]> {
  const responses = await session.map(urls(), { size: 64 });
  measure();
  answered = responses.length;
  return await Promise.all(
    responses.map(async (response) => ('text' in response ? Number(await response.text()) : null)),
  );
}
