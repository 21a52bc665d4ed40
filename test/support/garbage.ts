import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

/** Has V8 collect its garbage now. Finalizers tell of it a turn later. */
export const collectGarbage: () => void = runInNewContext('gc');
