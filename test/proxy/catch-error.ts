/** The error that a call throws. */
export function catchError(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    if (error instanceof Error) return error;
    throw new Error('threw something that is not an Error');
  }
  throw new Error('threw nothing');
}
