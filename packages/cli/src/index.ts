export { EXIT, run } from './run.ts';
export { formatTable, type Terminal } from './terminal.ts';
