import { DigitalOceanCompute } from '@cloudlane/driver-digitalocean';

/** Tells which way the next call would take, and why. */
export function explain(token: string, env: Record<string, string>): string {
  // #region explain
  const cloud = new DigitalOceanCompute({ token, env });
  const { route, source, rule, considered, warnings } = cloud.connection.explain();
  // #endregion
  return JSON.stringify({ route, source, rule, considered, warnings });
}
