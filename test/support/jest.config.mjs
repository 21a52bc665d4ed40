// Tests run from the packages' sources: nothing to build first, and failures name the source line.
export default {
  rootDir: '../..',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/support/strip-types.mjs' },
  moduleNameMapper: {
    '^cloudlane$': '<rootDir>/packages/cli/src/index.ts',
    '^@cloudlane/([^/]+)$': '<rootDir>/packages/$1/src/index.ts',
  },
  // jest leaves a core free for itself; on two that would be half of the machine.
  maxWorkers: '100%',
  testEnvironment: '<rootDir>/test/support/test-environment.mjs',
  setupFilesAfterEnv: ['<rootDir>/test/support/setup.ts'],
  reporters: ['default', '<rootDir>/test/support/reporter.mjs'],
  coverageProvider: 'babel',
  collectCoverageFrom: ['packages/*/src/**/*.ts'],
};
