import js from "@eslint/js";
import globals from "globals";

// Safari before 26 may run a module too early where one that it imports awaits, and others import that one too.
const TOP_LEVEL_AWAIT = [
  "AwaitExpression:not(:function AwaitExpression)",
  "ForOfStatement[await=true]:not(:function ForOfStatement)",
].map((selector) => ({
  selector,
  message: "No top-level await: load it in a function (assets/js/open.js).",
}));

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
  {
    files: ["assets/js/**"],
    languageOptions: { globals: globals.browser },
    rules: { "no-restricted-syntax": ["error", ...TOP_LEVEL_AWAIT] },
  },
  { files: ["tests/js/**", "*.js"], languageOptions: { globals: globals.nodeBuiltin } },
];
