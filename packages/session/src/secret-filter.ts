import { InvalidOptionError } from '@cloudlane/proxy';
import { hasUrls, isSecretField, isSecretHeader, MASK, maskForm, maskUrlsIn } from '@cloudlane/transport';

/** Replaces secrets by `***`, but for those that were asked for by name. */
export class SecretFilter {
  readonly #shown: ReadonlySet<string>;

  /**
   * @param showSecrets names of headers, parameters and fields to leave as they are, in any spelling; `*`: all
   * @throws InvalidOptionError if it is not a list of names
   */
  constructor(showSecrets: readonly string[] = []) {
    if (!Array.isArray(showSecrets) || showSecrets.some((name) => typeof name !== 'string'))
      throw new InvalidOptionError('showSecrets', "must be a list of names, such as ['authorization'], or ['*']");
    this.#shown = new Set(showSecrets.map((name) => name.toLowerCase()));
  }

  get showsAll(): boolean {
    return this.#shown.has('*');
  }

  shows(name: string): boolean {
    return this.showsAll || this.#shown.has(name.toLowerCase());
  }

  /** Whether the value of a parameter or field is to be masked. */
  hides(name: string): boolean {
    return !this.shows(name) && isSecretField(name);
  }

  header(name: string, value: string): string {
    if (isSecretHeader(name)) return this.shows(name) ? value : MASK;
    return hasUrls(name) ? this.url(value) : value;
  }

  /** The value of a parameter or field, decoded. */
  field(name: string, value: string): string {
    return this.hides(name) ? MASK : value;
  }

  /** The value of one cookie; every cookie may be a session's. @param header that it stands in */
  cookie(header: string, name: string, value: string): string {
    return this.shows(header) || this.shows(name) ? value : MASK;
  }

  /** URLs in a text: without their passwords, and without the values of parameters that sign or authorize. */
  url(text: string): string {
    return this.showsAll ? text : maskUrlsIn(text, (name) => this.hides(name));
  }

  /** The pairs of a form (application/x-www-form-urlencoded). */
  pairs(text: string): string {
    return maskForm(text, (name) => this.hides(name));
  }
}
