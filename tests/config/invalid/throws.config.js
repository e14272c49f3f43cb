const settings = undefined;
module.exports = { apps: [{ script: settings.script }] };
