/** Tests run as native ES modules on a real Redis; scripts/test.mjs starts them. */

if (!process.execArgv.includes('--experimental-vm-modules')) {
  const files = process.argv.slice(2).join(' ');
  throw new Error(`these tests are ES modules, which jest alone cannot load; run: npm test -- ${files}`);
}

export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  globalSetup: '<rootDir>/test/helpers/global-setup.ts',
  globalTeardown: '<rootDir>/test/helpers/global-teardown.ts',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: { target: 'es2023', parser: { syntax: 'typescript' } },
        module: { type: 'es6' },
      },
    ],
  },
  // A test that failed half-way may leave connections behind: the run ends all the same.
  forceExit: true,
  coverageProvider: 'v8',
  // Only for what hangs: how long a busy machine takes decides nothing.
  testTimeout: 240_000,
  // One more than the cores of a small machine: many tests wait for processes and clocks.
  maxWorkers: 3,
  reporters: ['default', '<rootDir>/test/helpers/count-reporter.mjs'],
};
