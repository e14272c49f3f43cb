module.exports = async () => {
  const port = await Promise.resolve(4000);
  return { apps: [{ name: 'later', script: './app/server.js', port }] };
};
