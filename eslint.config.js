import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/node_modules", ".venv"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2025, sourceType: "module" },
    rules: {
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: ["error", "smart"],
      "max-lines-per-function": ["error", { max: 60, skipComments: true }],
    },
  },
  { files: ["assets/js/**"], languageOptions: { globals: globals.browser } },
  { files: ["tests/js/**", "*.js"], languageOptions: { globals: globals.nodeBuiltin } },
];
