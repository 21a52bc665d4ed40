// #region own-driver
import { type ConnectionOptions, KeyConnection, type MutableHeaders } from '@cloudlane/connection';

/** A connection to a provider of your own; every call takes the chosen route. */
export class ExampleConnection extends KeyConnection {
  constructor({ token, ...options }: ConnectionOptions & { readonly token: string }) {
    super(token, options, 'https://api.example/v1');
  }

  override get provider(): string {
    return 'example';
  }

  protected override addDefaultHeaders(headers: MutableHeaders): void {
    headers.Authorization = `Bearer ${this.key}`;
  }
}
// #endregion
