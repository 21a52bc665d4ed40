import { rootCertificates } from 'node:tls';

/** The certificate authorities, in PEM form, that Node trusts where it is told no others. */
export function defaultAuthorities(): readonly string[] {
  return rootCertificates;
}
