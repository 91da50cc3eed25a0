// cdk-nag over CloudFormation templates: its pack of AWS's own solutions, over each template as the CDK includes it. It
// prints every finding as JSON; exceptions are the caller's affair.
//
//	node nag.mjs alb.template.yaml …
import { basename } from "node:path";
import { App, Stack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { AwsSolutionsChecks } from "cdk-nag";

const findings = [];
for (const templateFile of process.argv.slice(2)) {
  const app = new App({ analyticsReporting: false });
  new CfnInclude(new Stack(app, "Stack"), "Template", { templateFile });
  // Asked directly: synthesizing would write an assembly, and look for the account.
  const { violations } = new AwsSolutionsChecks(undefined, { verbose: true }).validateScope(app);
  for (const { ruleName, description, violatingResources } of violations) {
    for (const { constructPath } of violatingResources) {
      findings.push({ template: basename(templateFile, ".template.yaml"), rule: ruleName, resource: constructPath.split("/").pop(), why: description });
    }
  }
}
console.log(JSON.stringify(findings));
