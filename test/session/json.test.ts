// Where a body stops being JSON, without a word of it.

import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { JsonDecodeError, parseJson } from '../../packages/session/src/json.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';

const url = new URL(`https://user:${encodeURIComponent(SECRETS.proxyPassword)}@api.example/v1?token=${SECRETS.token}`);

function faultOf(text: string, contentType = 'application/json'): JsonDecodeError {
  try {
    parseJson(text, url, contentType);
  } catch (error) {
    if (error instanceof JsonDecodeError) return error;
    throw error;
  }
  throw new Error('it is JSON');
}

/** The text with a mark at the place of the error. */
function marked(text: string): string {
  const { position } = faultOf(text);
  return `${text.slice(0, position)}▲${text.slice(position)}`;
}

describe('the place', () => {
  test.each([
    ['{"a":1,▲}', 'a name in double quotes'],
    ['[1,▲]', 'a value'],
    ['[▲,1]', 'a value or ]'],
    ['{▲a:1}', 'a name in double quotes or }'],
    ['▲w', 'a value'],
    ["{▲'a':1}", 'a name in double quotes or }'],
    ['{"a"▲ 1}'.replace('▲ ', ' ▲'), 'a colon'],
    ['{"a":1 ▲"b":2}', 'a comma or }'],
    ['[1 ▲2]', 'a comma or ]'],
    ['[1▲}', 'a comma or ]'],
    ['{} ▲{}', 'the end of the text'],
    ['1▲]', 'the end of the text'],
    ['{"a":▲undefined}', 'a value'],
    ['{"a":▲NaN}', 'a value'],
    ['[tr▲@ue]', 'the rest of true'],
    ['[n▲aN]', 'the rest of true, false or null'],
    ['[null▲null]', 'a comma or ]'],
    ['[0▲1]', 'a comma or ]'],
    ['[1.▲]', 'a digit'],
    ['[1e+▲x]', 'a digit'],
    ['[-▲]', 'a digit'],
    ['[▲.5]', 'a value or ]'],
    ['[▲+5]', 'a value or ]'],
    ['[1, ▲// two\n2]', 'a value'],
    ['["a\\▲x"]', 'after a backslash'],
    ['["a\\u12▲g4"]', 'a hexadecimal digit'],
    ['["a▲\nb"]', 'a control character'],
    ['["a▲\tb"]', 'a control character'],
    ['["abc▲', 'the quote that ends a string'],
    ['["abc\\▲', 'after a backslash'],
    ['["\\u00▲', 'a hexadecimal digit'],
    ['{"a":[1,2▲', 'a comma or ]'],
    ['[▲\u00a01]', 'a value or ]'],
    ['▲\ufeff1', 'a value'],
  ])('of %j is where it is marked', (text, expected) => {
    const clean = text.replace('▲', '');
    expect(marked(clean)).toBe(text);
    expect(faultOf(clean).message).toContain(expected);
  });

  test.each<[string, number, number]>([
    ['@', 1, 1],
    ['{\n  "a": @}', 2, 8],
    ['{\r\n  "a":\r\n@}', 3, 1],
    ['{\r"a":@}', 2, 5],
    ['["\u2028😀"@', 1, 7],
    ['[1,\n', 2, 1],
  ])('of %j is line %d, column %d', (text, line, column) => {
    expect(faultOf(text)).toMatchObject({
      line,
      column,
      message: expect.stringContaining(`line ${line}, column ${column}`),
    });
  });

  test('is found in a text of any depth', () => {
    const depth = 200_000;
    expect(faultOf('['.repeat(depth)).position).toBe(depth);
    expect(faultOf('{"a":'.repeat(depth)).position).toBe(5 * depth);
    expect(faultOf(`${'['.repeat(depth)}${']'.repeat(depth)}@`).position).toBe(2 * depth);
  });
});

describe('of any text', () => {
  const json = fc.oneof(
    fc.json(),
    fc.jsonValue().map((value) => JSON.stringify(value, null, 2)),
  );

  /** Whether this place is in a string. */
  function isInString(text: string, place: number): boolean {
    return (text.slice(0, place).replace(/\\./gs, '').match(/"/g)?.length ?? 0) % 2 === 1;
  }

  test('the value is that of JSON.parse', () => {
    fc.assert(fc.property(json, (text) => expect(parseJson(text, url, undefined)).toEqual(JSON.parse(text))));
  });

  test('a character that JSON does not know is the place', () => {
    fc.assert(
      fc.property(json, fc.nat(), fc.constantFrom('@', "'", '/', 'x', '\u00a0', '\u2028', '\v'), (text, at, sign) => {
        const place = at % (text.length + 1);
        fc.pre(!isInString(text, place));
        expect(faultOf(text.slice(0, place) + sign + text.slice(place)).position).toBe(place);
      }),
      { numRuns: 3000 },
    );
  });

  test('damaged anywhere, it has a place exactly if JSON.parse refuses it, and what is before could be completed', () => {
    const damage = fc.constantFrom(
      '',
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '0',
      '1',
      '-',
      '.',
      'e',
      't',
      'n',
      ' ',
      '\n',
      '@',
    );
    fc.assert(
      fc.property(json, fc.nat(), damage, fc.boolean(), (text, at, sign, isInserted) => {
        const place = at % (text.length + 1);
        const damaged = text.slice(0, place) + sign + text.slice(place + (isInserted ? 0 : 1));
        if (isJson(damaged)) expect(parseJson(damaged, url, undefined)).toEqual(JSON.parse(damaged));
        else {
          const { position } = faultOf(damaged);
          expect(position).toBeLessThanOrEqual(damaged.length);
          // What is before the place is no fault: cut there, the text ends too early and nothing else, or is whole.
          const before = damaged.slice(0, position);
          if (!isJson(before)) expect(faultOf(before).position).toBe(before.length);
          // The character there is one: nothing that begins so can be JSON.
          if (position < damaged.length) expect(faultOf(damaged.slice(0, position + 1)).position).toBe(position);
        }
      }),
      { numRuns: 5000 },
    );
  });

  // V8 tells the place of some faults; where it does, it is ours.
  test('it is the place that Node tells, when it tells one', () => {
    let told = 0;
    fc.assert(
      fc.property(json, fc.nat(), fc.constantFrom('"', ',', ':', '1', '\n', '}', ''), (text, at, sign) => {
        const place = at % (text.length + 1);
        const damaged = text.slice(0, place) + sign + text.slice(place + 1);
        const position = placeByNode(damaged);
        if (position === null) return;
        told += 1;
        expect(faultOf(damaged).position).toBe(position);
      }),
      { numRuns: 3000 },
    );
    expect(told).toBeGreaterThan(100);
  });

  function isJson(text: string): boolean {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  }

  function placeByNode(text: string): number | null {
    try {
      JSON.parse(text);
    } catch (error) {
      const place = / at position (\d+)/.exec(String(error))?.[1];
      return place === undefined ? null : Number(place);
    }
    return null;
  }
});

describe('the error', () => {
  test.each<[body: string, contentType: string, why: string]>([
    ['', 'application/json', 'the body is empty'],
    [' \r\n', 'application/json', 'the body is blank'],
    [
      '<p>Sign in</p>',
      'text/html; charset=utf-8',
      'it is an HTML page: something between here and the origin answered',
    ],
    ['\n<!DOCTYPE html>', 'application/json', 'it is an HTML page'],
    ['<html lang="en">', '', 'it is an HTML page'],
    ['<Error/>', 'application/xml', 'line 1, column 1 should be a value (its length is 8)'],
    ['{"a": 1', 'text/html', 'it ends at line 1, column 8, before a comma or } (its length is 7)'],
  ])('of %j as %j says so', (body, contentType, why) => {
    expect(faultOf(body, contentType).message).toContain(`is not JSON: ${why}`);
  });

  test('has the fields that a program needs, and no more', () => {
    const error = faultOf('[1,\n2,]');
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'JsonDecodeError',
      code: 'ERR_JSON',
      message: error.message,
      url: 'https://user:***@api.example/v1?token=***',
      position: 6,
      line: 2,
      column: 3,
    });
    expect(error.cause).toBeUndefined();
  });

  test.each(['{"token":"%",}', '%', '"%', '["%"@'])('of %j shows nothing of the body', (pattern) => {
    const error = faultOf(pattern.replace('%', SECRETS.token));
    const printed = [inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error), String(error), error.stack];
    expect(secretsIn(printed.join('\n'))).toEqual([]);
    // Node quotes ten characters on either side.
    expect(printed.join('\n')).not.toMatch(/tok3n|printed/);
  });
});
