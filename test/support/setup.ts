// Runs in every test file before its tests.
import { scrubProxyVariables } from './environment.ts';

scrubProxyVariables(process.env);
