// Optional: not installed with us, so that their own types are not there either.
declare module 'mac-system-proxy';
declare module 'windows-system-proxy';
