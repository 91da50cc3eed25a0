// Package deploy puts Nightlatch on AWS: the CloudFormation template for a configuration, the package with the functions'
// program, and the driver that brings a stack to where the configuration wants it, tells what happens, and takes it down
// again.
//
//	nightlatch.yaml ──Render──▶ template ──▶ change set ──shown, agreed to──▶ stack ──▶ outputs
//	checkout ──────────────────▶ zip ──▶ bucket ───────────────────────────────┘
//
// It is the command line's, and no part of the functions.
package deploy
