/** The version of all packages, as `User-Agent` tells it; `npm run release` writes it here. */
export const VERSION: string = '0.1.0';
