import { S3Storage } from '@cloudlane/driver-aws';

const storage = new S3Storage({
  accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? '',
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? '',
  region: 'eu-central-1',
});

await storage.putObject('reports', '2026/may.csv', 'day,visits\n1,17\n', { contentType: 'text/csv' });
for await (const { key, size } of storage.listObjects('reports', { prefix: '2026/' })) console.log(key, size);
const report = await storage.getObject('reports', '2026/may.csv');
console.log(await report.text());
