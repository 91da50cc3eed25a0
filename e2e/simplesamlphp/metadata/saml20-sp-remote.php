<?php
$sp = json_decode(file_get_contents(getenv('DIR') . '/sp.json'), true);
$metadata[$sp['audience']] = [
	'AssertionConsumerService' => $sp['acs_url'],
	'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
];
