// Clients of others as they are, with nothing of ours but the agents.
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { GetObjectCommand, PutObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { AnonymousCredential, BlobServiceClient, newPipeline, type StoragePipelineOptions } from '@azure/storage-blob';
import axios from 'axios';
import got from 'got';
import fetch from 'node-fetch';
import { SECRETS } from '../support/secrets.ts';
import { BYTES, type MakeClient } from './agents-lab.ts';

const BINARY = 'application/octet-stream';

// It warns of Node 20, which Cloudlane supports.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

export const makeNode: MakeClient = (agents, baseUrl) => {
  const node = baseUrl.startsWith('https:') ? https : http;
  const agent = baseUrl.startsWith('https:') ? agents.https : agents.http;
  return {
    async put(path, body, type = BINARY) {
      const request = node.request(`${baseUrl}${path}`, { agent, method: 'PUT', headers: { 'Content-Type': type } });
      const answered = once(request, 'response');
      if (body instanceof Readable) body.pipe(request);
      else request.end(body);
      const [response] = await answered;
      await buffer(response);
    },
    async get(path, signal) {
      const request = node.get(`${baseUrl}${path}`, { agent, ...(signal && { signal }) });
      const [response] = await once(request, 'response');
      return await buffer(response);
    },
  };
};

export const makeGot: MakeClient = (agent, prefixUrl) => {
  const client = got.extend({ agent, prefixUrl });
  return {
    async put(path, body, type = BINARY) {
      await client.put(path.slice(1), { body, headers: { 'Content-Type': type } });
    },
    async get(path, signal) {
      return Buffer.from(await client.get(path.slice(1), { ...(signal && { signal }) }).buffer());
    },
  };
};

export const makeFetch: MakeClient = (agents, baseUrl) => {
  const agent = ({ protocol }: URL) => (protocol === 'http:' ? agents.http : agents.https);
  return {
    async put(path, body, type = BINARY) {
      const headers = { 'Content-Type': type };
      const response = await fetch(`${baseUrl}${path}`, { agent, method: 'PUT', body, headers });
      await response.arrayBuffer();
    },
    async get(path, signal) {
      const response = await fetch(`${baseUrl}${path}`, { agent, ...(signal && { signal }) });
      return Buffer.from(await response.arrayBuffer());
    },
  };
};

/** Without `proxy: false` it would look for a proxy of its own as well. `transport.axios` needs no agents. */
export const makeAxios: MakeClient = (agents, baseURL) => {
  const client = axios.create({ baseURL, proxy: false, httpAgent: agents.http, httpsAgent: agents.https });
  return {
    async put(path, body, type = BINARY) {
      await client.put(path, body, { headers: { 'Content-Type': type } });
    },
    async get(path, signal) {
      const { data } = await client.get(path, { responseType: 'arraybuffer', ...(signal && { signal }) });
      return data;
    },
  };
};

export const makeS3: MakeClient = (agents, endpoint) =>
  s3ClientOf({ endpoint, requestHandler: { httpAgent: agents.http, httpsAgent: agents.https } });

/** The S3 client of AWS. The bucket is the first part of a path, the key the rest. */
export function s3ClientOf(config: S3ClientConfig): ReturnType<MakeClient> {
  const s3 = new S3Client({
    credentials: { accessKeyId: 'key', secretAccessKey: SECRETS.secretKey },
    region: 'us-east-1',
    forcePathStyle: true,
    // Else a stream goes out in a framing of its own, which the store of the lab does not take apart.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    maxAttempts: 1,
    ...config,
  });
  const named = (path: string) => {
    const [Bucket, Key] = split(path);
    return { Bucket, Key };
  };
  return {
    async put(path, Body, ContentType = BINARY) {
      const length = Body instanceof Readable ? { ContentLength: BYTES.length } : {};
      await s3.send(new PutObjectCommand({ ...named(path), Body, ContentType, ...length }));
    },
    async get(path, abortSignal) {
      const { Body } = await s3.send(new GetObjectCommand(named(path)), { ...(abortSignal && { abortSignal }) });
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    },
  };
}

/** Azure's blob client. The container is the first part of a path, the blob the rest. */
export const makeBlob: MakeClient = (agents, baseUrl) => {
  const options = {
    // An option of the pipeline that this client builds on; its own types leave it out, but it hands it over.
    agent: baseUrl.startsWith('https:') ? agents.https : agents.http,
    retryOptions: { maxTries: 1 },
  } as StoragePipelineOptions;
  const service = new BlobServiceClient(`${baseUrl}/account`, newPipeline(new AnonymousCredential(), options));
  const blob = (path: string) => {
    const [container, name] = split(path);
    return service.getContainerClient(container).getBlockBlobClient(name);
  };
  return {
    async put(path, body, blobContentType = BINARY) {
      const upload = body instanceof Readable ? () => body : body;
      const length = body instanceof Readable ? BYTES.length : body.length;
      await blob(path).upload(upload, length, { blobHTTPHeaders: { blobContentType } });
    },
    async get(path, abortSignal) {
      const { readableStreamBody } = await blob(path).download(0, undefined, { ...(abortSignal && { abortSignal }) });
      return await buffer(readableStreamBody ?? Readable.from([]));
    },
  };
};

function split(path: string): [string, string] {
  const [, first = '', ...rest] = path.split('/');
  return [first, rest.join('/')];
}
