// One process that calls: takes a list of calls as JSON on its standard input and prints what became of each. It uses
// the packages as they are built, and the environment it was started with.
import { text } from 'node:stream/consumers';
import { Connection } from '@cloudlane/connection';

async function call({ options, set, action, http_proxy }) {
  try {
    const connection = new Connection(options);
    // `{}` stands for undefined, which JSON does not have.
    if (set) connection.setHttpProxy(set.to);
    const given = http_proxy === undefined ? {} : { http_proxy };
    const explanation = connection.explain(action, given);
    const answer = await connection.request(action, given);
    return { object: answer.object, explanation, followed: answer.http.explanation };
  } catch (error) {
    return { error: { name: error.name, code: error.code, source: error.source, message: error.message } };
  }
}

const calls = JSON.parse(await text(process.stdin));
const outcomes = [];
for (const each of calls) outcomes.push(await call(each));
console.log(JSON.stringify(outcomes));
process.exit();
