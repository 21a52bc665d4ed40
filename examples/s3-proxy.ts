import { S3Storage } from '@cloudlane/driver-aws';

const keys = {
  accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? '',
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? '',
};

// The environment: https_proxy=http://user:password@proxy.example:3128 node app.js
const storage = new S3Storage(keys);
await storage.headObject('reports', 'from-the-environment');

// This driver.
const other = new S3Storage({ ...keys, http_proxy: 'http://user:password@other.example:3128' });
await other.headObject('reports', 'from-the-constructor');

// From now on.
storage.connection.setHttpProxy('https://third.example:3129');
await storage.headObject('reports', 'from-now-on');

// This call alone; null is direct.
await storage.headObject('reports', 'this-call', { http_proxy: null });
