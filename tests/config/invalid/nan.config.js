module.exports = { apps: [{ name: "nan", script: "a.js", instances: parseInt(undefined) }] };
