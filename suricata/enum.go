package suricata

import (
	"strconv"
	"strings"
)

// names builds the words of an enum keyword from "name=number" pairs.
func names(pairs string) map[string]uint64 {
	m := map[string]uint64{}
	for _, pair := range strings.Fields(pairs) {
		name, number, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			panic("enum table: " + pair)
		}
		m[name] = n
	}
	return m
}

// Names of numbers, for those who show what rules compare.
var (
	LDAPResults    = numbered(ldapResults)
	LDAPOperations = numbered(ldapOperations)
	ENIPCommands   = numbered(enipCommands)
	ENIPStatuses   = numbered(enipStatus)
)

// numbered turns a table around.
func numbered(names map[string]uint64) map[uint64]string {
	m := make(map[uint64]string, len(names))
	for name, n := range names {
		m[n] = name
	}
	return m
}

// Frame types of RFC 9113 section 6.
var http2Frames = names(`
	data=0 headers=1 priority=2 rst_stream=3 settings=4 push_promise=5 ping=6 go_away=7 window_update=8
	continuation=9 goaway=7`)

// Error codes of RFC 9113 section 7.
var http2Errors = names(`
	no_error=0 protocol_error=1 internal_error=2 flow_control_error=3 settings_timeout=4 stream_closed=5
	frame_size_error=6 refused_stream=7 cancel=8 compression_error=9 connect_error=10 enhance_your_calm=11
	inadequate_security=12 http11_required=13 http_1_1_required=13 http11_required=13`)

// Settings of RFC 9113 section 6.5.2, RFC 8441 and RFC 9218.
var http2SettingNames = names(`
	settings_header_table_size=1 settings_enable_push=2 settings_max_concurrent_streams=3
	settings_initial_window_size=4 settings_max_frame_size=5 settings_max_header_list_size=6
	settings_enable_connect_protocol=8 settings_no_rfc7540_priorities=9`)

// Control packet types of MQTT 5 section 2.1.2.
var mqttTypes = names(`
	unassigned=0 connect=1 connack=2 publish=3 puback=4 pubrec=5 pubrel=6 pubcomp=7 subscribe=8 suback=9
	unsubscribe=10 unsuback=11 pingreq=12 pingresp=13 disconnect=14 auth=15`)

// Opcodes of RFC 6455 section 5.2.
var websocketOpcodes = names(`
	continuation=0 text=1 binary=2 close=8 ping=9 pong=10`)

// Resource record types of the IANA registry.
var dnsTypes = names(`
	a=1 ns=2 md=3 mf=4 cname=5 soa=6 mb=7 mg=8 mr=9 null=10 wks=11 ptr=12 hinfo=13 minfo=14 mx=15 txt=16 rp=17
	afsdb=18 x25=19 isdn=20 rt=21 nsap=22 nsapptr=23 sig=24 key=25 px=26 gpos=27 aaaa=28 loc=29 nxt=30 srv=33
	atma=34 naptr=35 kx=36 cert=37 a6=38 dname=39 opt=41 apl=42 ds=43 sshfp=44 ipseckey=45 rrsig=46 nsec=47
	dnskey=48 dhcid=49 nsec3=50 nsec3param=51 tlsa=52 hip=55 cds=59 cdnskey=60 https=65 spf=99 tkey=249 tsig=250
	maila=254 any=255 uri=256`)

// Response codes of the IANA registry.
var dnsRcodes = names(`
	noerror=0 formerr=1 servfail=2 nxdomain=3 notimp=4 refused=5 yxdomain=6 yxrrset=7 nxrrset=8 notauth=9
	notzone=10 badvers=16 badkey=17 badtime=18 badmode=19 badname=20 badalg=21 badtrunc=22`)

// EtherNet/IP encapsulation commands.
var enipCommands = names(`
	nop=0 list_services=4 list_identity=99 list_interfaces=100 register_session=101 unregister_session=102
	send_rr_data=111 send_unit_data=112 indicate_status=114 cancel=115`)

// EtherNet/IP encapsulation status codes.
var enipStatus = names(`
	success=0 invalid_cmd=1 no_resources=2 incorrect_data=3 invalid_session=100 invalid_length=101
	unsupported_prot_rev=105 encap_header_error=106`)

// Association modes of RFC 5905 section 7.3.
var ntpModes = names(`
	reserved=0 symmetric_active=1 symmetric_passive=2 client=3 server=4 broadcast=5 control=6 private=7`)

// Generic traps of RFC 1157.
var snmpTraps = names(`
	coldstart=0 warmstart=1 linkdown=2 linkup=3 authenticationfailure=4 egpneighborloss=5 enterprisespecific=6`)

// PDU types of RFC 3416.
var snmpPDUs = names(`
	get_request=0 get_next_request=1 response=2 set_request=3 trap_v1=4 get_bulk_request=5 inform_request=6
	trap_v2=7 report=8`)

// Security results of RFC 6143 section 7.1.3.
var rfbResults = names(`
	ok=0 fail=1 too_many=2 unknown=3`)

// Result codes of RFC 4511 section 4.1.9, and those of clients.
var ldapResults = names(`
	success=0 operations_error=1 protocol_error=2 time_limit_exceeded=3 size_limit_exceeded=4 compare_false=5
	compare_true=6 auth_method_not_supported=7 stronger_auth_required=8 referral=10 admin_limit_exceeded=11
	unavailable_critical_extension=12 confidentiality_required=13 sasl_bind_in_progress=14 no_such_attribute=16
	undefined_attribute_type=17 inappropriate_matching=18 constraint_violation=19 attribute_or_value_exists=20
	invalid_attribute_syntax=21 no_such_object=32 alias_problem=33 invalid_dns_syntax=34 is_leaf=35
	alias_dereferencing_problem=36 inappropriate_authentication=48 invalid_credentials=49
	insufficient_access_rights=50 busy=51 unavailable=52 unwilling_to_perform=53 loop_detect=54
	sort_control_missing=60 offset_range_error=61 naming_violation=64 object_class_violation=65
	not_allowed_on_non_leaf=66 not_allowed_on_rdn=67 entry_already_exists=68 object_class_mods_prohibited=69
	results_too_large=70 affects_multiple_dsas=71 control_error=76 other=80 server_down=81 local_error=82
	encoding_error=83 decoding_error=84 timeout=85 auth_unknown=86 filter_error=87 user_canceled=88 param_error=89
	no_memory=90 connect_error=91 not_supported=92 control_not_found=93 no_results_returned=94
	more_results_to_return=95 client_loop=96 referral_limit_exceeded=97 invalid_response=100 ambiguous_response=101
	tls_not_supported=112 intermediate_response=113 unknown_type=114 canceled=118 no_such_operation=119
	too_late=120 cannot_cancel=121 assertion_failed=122 authorization_denied=123 e_sync_refresh_required=4096
	no_operation=16654`)

// Protocol operations of RFC 4511 section 4.2.
var ldapOperations = names(`
	bind_request=0 bind_response=1 unbind_request=2 search_request=3 search_result_entry=4 search_result_done=5
	modify_request=6 modify_response=7 add_request=8 add_response=9 del_request=10 del_response=11
	mod_dn_request=12 mod_dn_response=13 compare_request=14 compare_response=15 abandon_request=16
	search_result_reference=19 extended_request=23 extended_response=24 intermediate_response=25`)

// Procedures of RFC 1813 section 3, with statfs of RFC 1094.
var nfsProcedures = names(`
	null=0 getattr=1 setattr=2 lookup=3 access=4 readlink=5 read=6 write=7 create=8 mkdir=9 symlink=10 mknod=11
	remove=12 rmdir=13 rename=14 link=15 readdir=16 readdirplus=17 fsstat=18 fsinfo=19 pathconf=20 commit=21
	statfs=17`)

// Function codes of IEEE 1815.
var dnp3Functions = names(`
	confirm=0 read=1 write=2 select=3 operate=4 direct_operate=5 direct_operate_nr=6 immed_freeze=7
	immed_freeze_nr=8 freeze_clear=9 freeze_clear_nr=10 freeze_at_time=11 freeze_at_time_nr=12 cold_restart=13
	warm_restart=14 initialize_data=15 initialize_appl=16 start_appl=17 stop_appl=18 save_config=19
	enable_unsolicited=20 disable_unsolicited=21 assign_class=22 delay_measure=23 record_current_time=24
	open_file=25 close_file=26 delete_file=27 get_file_info=28 authenticate_file=29 abort_file=30
	activate_config=31 authenticate_req=32 authenticate_err=33 response=129 unsolicited_response=130
	authenticate_resp=131`)
