const { PMON_TEST_STAGE = 'none' } = process.env;
module.exports = {
  apps: [
    {
      name: `api-${PMON_TEST_STAGE}`,
      script: './app/server.js',
      args: `--stage ${PMON_TEST_STAGE} --title "two words"`,
      node_args: '--max-old-space-size=512 --enable-source-maps',
      env: { STAGE: process.env.PMON_TEST_STAGE },
    },
  ],
};
