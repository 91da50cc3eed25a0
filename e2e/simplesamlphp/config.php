<?php
// SimpleSAMLphp as an identity provider for one test. From the environment: SITE, its address, and DIR, the test's
// folder, with idp.key and idp.crt, and two files that are read at each request: idp.json, settings that the test adds,
// and sp.json, the service provider as demo.json has it.
$config = [
	'baseurlpath' => getenv('SITE') . '/',
	'certdir' => getenv('DIR') . '/',
	'datadir' => getenv('DIR') . '/',
	'loggingdir' => getenv('DIR') . '/',
	'tempdir' => getenv('DIR'),
	'metadatadir' => __DIR__ . '/metadata',
	'session.phpsession.savepath' => getenv('DIR'),
	'secretsalt' => 'of a test',
	'timezone' => 'UTC',
	'logging.handler' => 'errorlog',
	'logging.level' => SimpleSAML\Logger::WARNING,
	'enable.saml20-idp' => true,
	'module.enable' => ['core' => true, 'saml' => true, 'exampleauth' => true],
];
