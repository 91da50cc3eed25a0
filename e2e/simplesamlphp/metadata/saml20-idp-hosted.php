<?php
$metadata['__DYNAMIC:1__'] = json_decode(file_get_contents(getenv('DIR') . '/idp.json'), true) + [
	'host' => '__DEFAULT__',
	'auth' => 'people',
	'privatekey' => 'idp.key',
	'certificate' => 'idp.crt',
	'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
	'authproc' => [1 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent']],
];
