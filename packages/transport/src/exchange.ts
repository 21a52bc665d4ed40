import http, {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestOptions,
} from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { Attempt } from './attempt.ts';
import { publishEnd, publishError } from './diagnostics.ts';
import { askToContinue } from './expectation.ts';
import { messageOf } from './foreign-error.ts';
import { onAbort } from './on-abort.ts';
import type { Origin } from './origin.ts';
import { isProxyAnswer, proxyAnswerError, readAnswerBody } from './proxy-answer.ts';
import { closeBody, isBuffered, type RequestBody, sendStream, type UploadProgress } from './request-body.ts';
import { EXCHANGE, type RouteAgent } from './route-agents.ts';
import { startDeadline } from './timeouts.ts';

/** Makes a request of Node's with these options, and perhaps more headers; does not end it. */
export type BeginRequest = (options: RequestOptions) => ClientRequest;

/** One request, ready to go over one route. */
export interface ExchangePlan {
  readonly attempt: Attempt;
  readonly agent: RouteAgent;
  readonly origin: Origin;
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: RequestBody | null;
  /** Length of `body` if it is known. */
  readonly length: number | null;
  /** Whether `body` waits until it is asked for; see `askToContinue`. */
  readonly expectsContinue: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onUploadProgress: UploadProgress | undefined;
  /** Who makes a request that may end in another protocol, and has its socket then; nobody for ordinary ones. */
  readonly begin?: BeginRequest;
}

/**
 * Sends one request and resolves with the head of its answer; the body follows as the stream is read, under the same
 * deadlines and the same signal.
 */
export async function exchange(plan: ExchangePlan): Promise<IncomingMessage> {
  return await new Exchange(plan).answer;
}

function createRequest({ attempt, agent, origin, method, path, headers, begin }: ExchangePlan): ClientRequest {
  try {
    const options = {
      agent,
      method,
      host: origin.host,
      port: origin.port,
      path,
      // Node would keep the final dot of a fully qualified name.
      headers: origin.host.endsWith('.') ? { Host: origin.hostHeader, ...headers } : headers,
      [EXCHANGE]: { attempt, origin },
    } as RequestOptions;
    // The live function, through the module: what patches it (nock, tracing) sees our requests.
    const request = begin === undefined ? (origin.secure ? https : http).request(options) : begin(options);
    // Has Node say `Connection: close`.
    if (attempt.isAlone) request.shouldKeepAlive = false;
    return request;
  } catch (error) {
    // Node checks method, path and headers; its messages name the field, never its value.
    throw new InvalidOptionError('request', `was refused: ${messageOf(error)}`);
  }
}

/** One request on its way, and the answer to it. */
export class Exchange {
  /** The head of the answer. Somebody must handle its failure. */
  readonly answer: Promise<IncomingMessage>;
  /** Resolves once the last byte of the request was handed to the connection; never if that does not happen. */
  readonly sent: Promise<void>;
  readonly #plan: ExchangePlan;
  readonly #attempt: Attempt;
  readonly #request: ClientRequest;
  #resolve: (response: IncomingMessage) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #resolveSent: () => void = () => {};
  #response: IncomingMessage | null = null;
  #socket: Socket | null = null;
  #isOver = false;
  /** Whether the answer is the proxy's own, and an error for that reason. */
  #isRefusal = false;
  #stopListening: () => void = () => {};
  #stopTotal: () => void = () => {};
  #stopFirstByte: () => void = () => {};

  /** @throws InvalidOptionError if Node refuses method, path or headers; the signal's reason if it is aborted already */
  constructor(plan: ExchangePlan) {
    plan.signal?.throwIfAborted();
    this.#plan = plan;
    this.#attempt = plan.attempt;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.sent = new Promise((resolve) => {
      this.#resolveSent = resolve;
    });
    this.#request = createRequest(plan);
    this.#start();
  }

  #start(): void {
    this.#request
      .on('error', (error) => this.#fail(error))
      .on('socket', (socket) => this.#watch(socket))
      .on('finish', () => this.#sent())
      .on('response', (response) => void this.#answered(response))
      // Node tells no error if the server answers by switching protocols (101).
      .on('close', () => this.#response ?? this.#fail(new Error('the connection was closed without an answer')));
    if (this.#plan.begin !== undefined) this.#request.on('upgrade', (response) => this.#switched(response));
    this.#stopListening = onAbort(this.#plan.signal, () => this.#stop(this.#plan.signal?.reason));
    this.#attempt.onTimeoutsChanged = () => this.#applyTimeouts();
    this.#startTotal();
    void this.#send();
  }

  async #send(): Promise<void> {
    const { body, length, onUploadProgress, expectsContinue } = this.#plan;
    if (expectsContinue && !(await this.#mayContinue())) return;
    if (body === null || isBuffered(body)) {
      this.#request.end(body);
      return;
    }
    try {
      const sent = await sendStream(this.#request, body, length, onUploadProgress);
      if (this.#isRefused()) {
        // The rest will not be sent, so that the connection is spent once the answer is read.
        this.#request.shouldKeepAlive = false;
        if (this.#response?.readableEnded) this.#request.destroy();
      } else if (!this.#request.destroyed) {
        if (length === null || sent === length) this.#request.end();
        else this.#stop(this.#attempt.wrongLength(length, sent));
      }
    } catch (error) {
      // The source failed: its own error is the reason, and the server must not take the part for the whole.
      this.#stop(error);
    }
  }

  /** Sends the head alone, and waits until the body may follow; false if it must not. */
  async #mayContinue(): Promise<boolean> {
    const { body } = this.#plan;
    const source = body instanceof Readable ? body : null;
    // Nobody reads it yet, so that nobody else would hear of its failure.
    const fail = (error: unknown): void => this.#stop(error);
    source?.on('error', fail);
    const verdict = await askToContinue(this.#request);
    if (verdict === 'continue') {
      // From then on who reads it listens.
      setImmediate(() => source?.off('error', fail));
      return true;
    }
    source?.off('error', fail);
    // After a refusal the connection is not used again: the rest of this request is never sent on it.
    if (verdict === 'refused') this.#attempt.isBodyUnsent = true;
    else if (body !== null) closeBody(body);
    return false;
  }

  #isRefused(): boolean {
    return this.#response !== null && (this.#response.statusCode ?? 0) >= 300;
  }

  #watch(socket: Socket): void {
    this.#socket = socket;
    socket.on('timeout', this.#onIdle);
    socket.setTimeout(this.#attempt.timeouts.idle);
  }

  // The socket was silent, or this process too busy to listen: what has come meanwhile is read first.
  readonly #onIdle = (): void => {
    const before = this.#moved();
    setImmediate(() => {
      if (this.#moved() === before) this.#checkIdle();
    });
  };

  #moved(): number {
    return (this.#socket?.bytesRead ?? 0) + (this.#socket?.bytesWritten ?? 0);
  }

  // Silence is the peer's doing only if we wait for it.
  #checkIdle(): void {
    const response = this.#response;
    const isSending = !this.#request.writableFinished;
    if (this.#isOver && !isSending) return;
    const isOurDoing = isSending
      ? this.#request.writableLength === 0
      : response === null || response.complete || response.readableLength > 0;
    if (isOurDoing) this.#socket?.setTimeout(this.#attempt.timeouts.idle);
    // The answer is read, but whoever gave it takes no more of the request.
    else if (this.#isOver) this.#request.destroy();
    else this.#stop(this.#attempt.timedOut('idle'));
  }

  #sent(): void {
    const { body, length, onUploadProgress } = this.#plan;
    try {
      if (body !== null && isBuffered(body) && length !== null) onUploadProgress?.(length, length);
    } catch (error) {
      // What the caller's function throws ends the request, as it does while a stream is sent; not the process.
      this.#stop(error);
    }
    this.#resolveSent();
    if (this.#response !== null || this.#isOver) return;
    this.#attempt.phase = 'response';
    this.#awaitFirstByte();
  }

  #applyTimeouts(): void {
    if (this.#isOver) return;
    this.#startTotal();
    this.#socket?.setTimeout(this.#attempt.timeouts.idle);
    if (this.#attempt.phase === 'response') this.#awaitFirstByte();
  }

  #startTotal(): void {
    this.#stopTotal();
    this.#stopTotal = startDeadline(this.#attempt.totalLeft, () => this.#stop(this.#attempt.timedOut('total')));
  }

  #awaitFirstByte(): void {
    this.#stopFirstByte();
    this.#stopFirstByte = startDeadline(this.#attempt.timeouts.firstByte, () =>
      this.#stop(this.#attempt.timedOut('firstByte')),
    );
  }

  async #answered(response: IncomingMessage): Promise<void> {
    this.#response = response;
    this.#stopFirstByte();
    this.#attempt.phase = 'body';
    const attempt = this.#attempt;
    // Before anybody sees it: what Node ends the body with is kept by the stream, and told by more than its 'error'.
    const destroy = response.destroy;
    response.destroy = (error) => destroy.call(response, error && asError(attempt.translate(error)));
    response.once('close', () => this.#finish());
    response.once('end', () => {
      this.#finish();
      // Who refuses a request may never read the rest of it.
      if (this.#isRefused() && !this.#request.writableFinished) this.#request.destroy();
    });
    const { statusCode: status = 0, statusMessage: statusText = '', headers } = response;
    if (attempt.route.kind !== 'forward' || !isProxyAnswer(status, headers)) return this.#resolve(response);
    this.#isRefusal = true;
    const body = await readAnswerBody(response);
    attempt.phase = 'response';
    this.#reject(proxyAnswerError({ status, statusText, headers, body }, attempt));
  }

  /** The socket has another owner now, whom neither deadlines nor signals of the request concern. */
  #switched(response: IncomingMessage): void {
    this.#response = response;
    this.#attempt.phase = 'body';
    this.#cleanUp();
    this.#socket?.setTimeout(0);
    this.#attempt.finish();
    publishEnd(this.#attempt, response.statusCode ?? 0, true);
    response.once('end', () => this.#resolve(response)).resume();
  }

  /** The body has come to its end, or was given up. */
  #finish(): void {
    if (this.#isOver) return;
    this.#cleanUp();
    const { errored = null, readableEnded = true, statusCode = 0 } = this.#response ?? {};
    this.#attempt.finish();
    if (this.#isRefusal) return;
    if (errored === null) publishEnd(this.#attempt, statusCode, readableEnded);
    else publishError(this.#attempt, errored);
  }

  /** Ends the exchange for a reason of ours. */
  #stop(reason: unknown): void {
    this.#attempt.stop(reason);
    this.#fail(reason);
    this.#response?.destroy(asError(reason));
    this.#request.destroy();
  }

  #fail(error: unknown): void {
    const reason = this.#attempt.translate(error);
    // A body that breaks off hears of it as "aborted" only.
    this.#attempt.stop(reason);
    this.#reject(reason);
    // After the head of the answer the body's stream tells the error; its 'close' cleans up.
    if (this.#response === null) this.#cleanUp();
  }

  #cleanUp(): void {
    this.#isOver = true;
    this.#stopTotal();
    this.#stopFirstByte();
    this.#stopListening();
    const unwatch = (): void => void this.#socket?.off('timeout', this.#onIdle);
    if (this.#request.writableFinished || this.#request.destroyed) unwatch();
    else this.#request.once('finish', unwatch);
  }
}

// A stream fails with any object, errors of another realm and DOMException among them; a bare value needs a wrapper.
function asError(reason: unknown): Error {
  return isObject(reason) ? reason : new Error('the request was aborted', { cause: reason });
}

function isObject(value: unknown): value is Error {
  return typeof value === 'object' && value !== null;
}
