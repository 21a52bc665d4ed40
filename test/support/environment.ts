const PROXY_VARIABLE = /^(https?|wss?|socks|all|no|ftp|npm_config_(https?_?)?|node_use_env)_?proxy$/i;

const CA_VARIABLE = /^(REQUESTS_CA_BUNDLE|SSL_CERT_FILE|CURL_CA_BUNDLE)$/;

/** Takes every setting of proxies and authorities out of an environment, so that a test starts from none. */
export function scrubProxyVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  for (const name of Object.keys(env)) {
    if (PROXY_VARIABLE.test(name) || CA_VARIABLE.test(name) || name === 'REQUEST_METHOD') delete env[name];
  }
  return env;
}
