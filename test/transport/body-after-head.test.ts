import { expect, test } from '@jest/globals';
import { newTransport, origin } from './lab.ts';

test.each(['text', Buffer.from('text')])(
  'bytes beyond ASCII in a header arrive as they are before the body %p',
  async (body) => {
    const target = await origin();
    const transport = newTransport();
    const response = await transport.send({
      method: 'POST',
      url: target.url,
      headers: { 'X-Name': 'J\u00fcrgen' },
      body,
    });
    response.body.resume();
    expect(target.requests[0]?.headers['x-name']).toBe('J\u00fcrgen');
    expect(target.requests[0]?.body.toString()).toBe('text');
  },
);
