// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Erc3009DepositCollector} from "../src/Erc3009DepositCollector.sol";
import {IChannelEscrow} from "../src/IChannelEscrow.sol";
import {ISignatureTransfer, Permit2DepositCollector} from "../src/Permit2DepositCollector.sol";
import {ChannelEscrowFixture} from "./support/ChannelEscrowFixture.sol";
import {ClaimingCollector, ContractWallet, WrongCollector} from "./support/ChannelEscrowMocks.sol";
import {
    AuthorizationToken,
    MockPermit2,
    PermitToken,
    PullCollector,
    WalletAuthorizationToken
} from "./support/DepositMocks.sol";
import {FeeToken, SilentToken} from "./support/Tokens.sol";

/// @notice Money into channels: by approval and by the collectors, and what is refused.
contract ChannelEscrowDepositTest is ChannelEscrowFixture {
    function test_first_deposit_creates_the_channel() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        bytes32 channelId = escrow.getChannelId(config);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.ChannelCreated(channelId, config);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.Deposited(channelId, payer, DEPOSIT, DEPOSIT);
        _deposit(config, DEPOSIT);
        _channel(config, DEPOSIT, 0);
        _equal(token.balanceOf(address(escrow)), DEPOSIT, "held");
    }

    function test_top_up_creates_nothing() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        _deposit(config, DEPOSIT);
        vm.recordLogs();
        _deposit(config, 1);
        _equal(vm.getRecordedLogs().length, 2, "Transfer and Deposited only");
        _channel(config, DEPOSIT + 1, 0);
    }

    function test_refuses_configs_without_parties() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.payer = address(0);
        _refused(config, IChannelEscrow.InvalidChannel.selector);
        config = _config(0);
        config.receiver = address(0);
        _refused(config, IChannelEscrow.InvalidChannel.selector);
        config = _config(0);
        config.receiverAuthorizer = address(0);
        _refused(config, IChannelEscrow.InvalidChannel.selector);
        config = _config(0);
        config.token = address(0);
        _refused(config, IChannelEscrow.InvalidChannel.selector);
    }

    /// @dev The escrow would pay itself, and the money would be nobody's.
    function test_refuses_the_escrow_as_party() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.receiver = address(escrow);
        _refused(config, IChannelEscrow.InvalidChannel.selector);
        config = _config(0);
        config.payer = address(escrow);
        _refused(config, IChannelEscrow.InvalidChannel.selector);
    }

    function testFuzz_delay_stays_within_bounds(uint40 delay) public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.withdrawDelay = delay;
        if (delay >= 15 minutes && delay <= 30 days) {
            _deposit(config, DEPOSIT);
        } else {
            _refused(config, IChannelEscrow.WithdrawDelayOutOfRange.selector);
        }
    }

    function test_refuses_nothing_and_too_much() public {
        vm.prank(payer);
        vm.expectRevert(IChannelEscrow.ZeroDeposit.selector);
        escrow.deposit(_config(0), 0, address(0), "");

        token.mint(payer, type(uint128).max);
        _deposit(_config(0), type(uint128).max);
        vm.prank(payer);
        vm.expectRevert(IChannelEscrow.DepositOverflow.selector);
        escrow.deposit(_config(0), 1, address(0), "");
    }

    /// @dev An approval of the escrow is for channels that the payer itself chooses.
    function test_approval_serves_only_the_payer() public {
        vm.expectRevert(IChannelEscrow.InvalidCollector.selector);
        escrow.deposit(_config(0), DEPOSIT, address(0), "");
        vm.prank(payerAuthorizer);
        vm.expectRevert(IChannelEscrow.InvalidCollector.selector);
        escrow.deposit(_config(0), DEPOSIT, address(0), "");
    }

    function test_takes_a_token_that_answers_nothing() public {
        SilentToken silent = new SilentToken();
        silent.mint(payer, DEPOSIT);
        vm.prank(payer);
        silent.approve(address(escrow), DEPOSIT);
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = address(silent);
        _deposit(config, DEPOSIT);
        _claim(_row(config, CLAIM));
        escrow.settle(receiver, address(silent));
        _equal(silent.balanceOf(receiver), CLAIM, "paid");
    }

    function test_refuses_a_token_that_takes_a_fee() public {
        FeeToken fee = new FeeToken();
        fee.mint(payer, DEPOSIT);
        vm.prank(payer);
        fee.approve(address(escrow), DEPOSIT);
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = address(fee);
        _refused(config, IChannelEscrow.DepositCollectionFailed.selector);
    }

    function test_refuses_a_token_without_code() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = address(0xdead);
        vm.prank(payer);
        vm.expectRevert();
        escrow.deposit(config, DEPOSIT, address(0), "");
    }

    function testFuzz_collector_brings_exactly_the_amount(int64 off) public {
        WrongCollector collector = new WrongCollector(off < -1000e6 ? int256(-1000e6) : off);
        if (off != 0) vm.expectRevert(IChannelEscrow.DepositCollectionFailed.selector);
        escrow.deposit(_config(0), DEPOSIT, address(collector), "");
    }

    function test_collector_cannot_claim_in_between() public {
        ClaimingCollector collector = new ClaimingCollector(escrow);
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_row(_config(0), CLAIM));
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getClaimBatchDigest(rows));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        escrow.deposit(_config(0), DEPOSIT, address(collector), abi.encode(rows, signature));
    }

    function test_collector_without_code_is_refused() public {
        vm.expectRevert();
        escrow.deposit(_config(0), DEPOSIT, address(0xdead), "");
    }

    function test_a_foreign_collector_fits() public {
        PullCollector pull = new PullCollector();
        vm.prank(payer);
        token.approve(address(pull), DEPOSIT);
        escrow.deposit(_config(0), DEPOSIT, address(pull), "");
        _channel(_config(0), DEPOSIT, 0);
    }

    function test_authorization_pays_in_by_anyone() public {
        AuthorizationToken signed = new AuthorizationToken();
        (IChannelEscrow.ChannelConfig memory config, Erc3009DepositCollector collector, bytes memory data) =
            _authorized(signed);
        escrow.deposit(config, DEPOSIT, address(collector), data);
        vm.snapshotGasLastCall("ChannelEscrow", "deposit_erc3009_signed_first");
        _channel(config, DEPOSIT, 0);
        _equal(signed.balanceOf(address(escrow)), DEPOSIT, "held");
        _equal(signed.balanceOf(address(collector)), 0, "nothing stays on the way");

        vm.expectRevert();
        escrow.deposit(config, DEPOSIT, address(collector), data);
    }

    function test_authorization_is_for_one_channel_and_amount() public {
        AuthorizationToken signed = new AuthorizationToken();
        (IChannelEscrow.ChannelConfig memory config, Erc3009DepositCollector collector, bytes memory data) =
            _authorized(signed);
        IChannelEscrow.ChannelConfig memory stolen = config;
        stolen.receiver = address(0xbad);
        vm.expectRevert();
        escrow.deposit(stolen, DEPOSIT, address(collector), data);
        vm.expectRevert();
        escrow.deposit(config, DEPOSIT - 1, address(collector), data);
        // Nor can it be pulled past the escrow.
        bytes32 channelId = escrow.getChannelId(config);
        vm.expectRevert(Erc3009DepositCollector.OnlyEscrow.selector);
        collector.collect(payer, address(signed), DEPOSIT, channelId, data);
    }

    function test_authorization_by_a_contract_wallet() public {
        WalletAuthorizationToken signed = new WalletAuthorizationToken();
        ContractWallet wallet = new ContractWallet(payer);
        signed.mint(address(wallet), DEPOSIT);
        Erc3009DepositCollector collector =
            Erc3009DepositCollector(_deploy("Erc3009DepositCollector", abi.encode(address(escrow))));
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.payer = address(wallet);
        config.token = address(signed);
        bytes32 nonce = keccak256(abi.encode(escrow.getChannelId(config), uint256(7)));
        bytes32 digest = _receiveDigest(signed, address(wallet), address(collector), nonce);
        bytes memory wrong = abi.encodePacked(_sign(receiverKey, digest), "tail");
        vm.expectRevert();
        escrow.deposit(config, DEPOSIT, address(collector), abi.encode(0, type(uint48).max, 7, wrong));
        bytes memory right = abi.encodePacked(_sign(payerKey, digest), "tail");
        escrow.deposit(config, DEPOSIT, address(collector), abi.encode(0, type(uint48).max, 7, right));
        _channel(config, DEPOSIT, 0);
    }

    function test_permit2_pays_in_by_anyone() public {
        (Permit2DepositCollector collector, MockPermit2 permit2, bytes memory data) =
            _permitted(address(token), "");
        vm.prank(payer);
        token.approve(address(permit2), type(uint256).max);
        escrow.deposit(_config(0), DEPOSIT, address(collector), data);
        _channel(_config(0), DEPOSIT, 0);

        vm.expectRevert(MockPermit2.Used.selector);
        escrow.deposit(_config(0), DEPOSIT, address(collector), data);
    }

    function test_permit2_is_for_one_channel() public {
        (Permit2DepositCollector collector, MockPermit2 permit2, bytes memory data) =
            _permitted(address(token), "");
        vm.prank(payer);
        token.approve(address(permit2), type(uint256).max);
        vm.expectRevert(MockPermit2.BadSignature.selector);
        escrow.deposit(_config(bytes32(uint256(1))), DEPOSIT, address(collector), data);
        bytes32 channelId = escrow.getChannelId(_config(0));
        vm.expectRevert(Permit2DepositCollector.OnlyEscrow.selector);
        collector.collect(payer, address(token), DEPOSIT, channelId, data);
    }

    function test_permit2_with_a_permit_of_the_token() public {
        PermitToken permitted = new PermitToken();
        permitted.mint(payer, DEPOSIT);
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = address(permitted);
        (Permit2DepositCollector collector, MockPermit2 permit2,) = _permitted(address(permitted), "");
        bytes memory permit = _permit(permitted, address(permit2));
        bytes memory data = _permit2Data(collector, permit2, config, permit);
        escrow.deposit(config, DEPOSIT, address(collector), data);
        _channel(config, DEPOSIT, 0);
    }

    /// @dev Whoever uses the payer's permit first only does the collector's work.
    function test_permit2_with_a_permit_that_was_used() public {
        PermitToken permitted = new PermitToken();
        permitted.mint(payer, DEPOSIT);
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = address(permitted);
        (Permit2DepositCollector collector, MockPermit2 permit2,) = _permitted(address(permitted), "");
        bytes memory permit = _permit(permitted, address(permit2));
        (uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) =
            abi.decode(permit, (uint256, uint256, uint8, bytes32, bytes32));
        permitted.permit(payer, address(permit2), value, deadline, v, r, s);
        bytes memory data = _permit2Data(collector, permit2, config, permit);
        escrow.deposit(config, DEPOSIT, address(collector), data);
        _channel(config, DEPOSIT, 0);
    }

    function test_collectors_need_their_contracts() public {
        vm.expectRevert(Erc3009DepositCollector.InvalidEscrow.selector);
        new Erc3009DepositCollector(address(0));
        vm.expectRevert(Permit2DepositCollector.InvalidEscrow.selector);
        new Permit2DepositCollector(address(0), address(1));
        vm.expectRevert(Permit2DepositCollector.InvalidPermit2.selector);
        new Permit2DepositCollector(address(1), address(0));
    }

    function _refused(IChannelEscrow.ChannelConfig memory config, bytes4 why) private {
        vm.prank(config.payer);
        vm.expectRevert(why);
        escrow.deposit(config, DEPOSIT, address(0), "");
    }

    function _authorized(AuthorizationToken signed)
        private
        returns (IChannelEscrow.ChannelConfig memory config, Erc3009DepositCollector collector, bytes memory)
    {
        signed.mint(payer, 2 * DEPOSIT);
        collector = Erc3009DepositCollector(_deploy("Erc3009DepositCollector", abi.encode(address(escrow))));
        config = _config(0);
        config.token = address(signed);
        bytes32 nonce = keccak256(abi.encode(escrow.getChannelId(config), uint256(7)));
        bytes32 digest = _receiveDigest(signed, payer, address(collector), nonce);
        return (config, collector, abi.encode(0, type(uint48).max, 7, _sign(payerKey, digest)));
    }

    function _receiveDigest(AuthorizationToken signed, address from, address to, bytes32 nonce)
        private
        view
        returns (bytes32)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                from,
                to,
                uint256(DEPOSIT),
                uint256(0),
                uint256(type(uint48).max),
                nonce
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", _domain(address(signed)), structHash));
    }

    function _permitted(address paid, bytes memory permit)
        private
        returns (Permit2DepositCollector collector, MockPermit2 permit2, bytes memory data)
    {
        permit2 = new MockPermit2(true);
        collector = Permit2DepositCollector(
            _deploy("Permit2DepositCollector", abi.encode(address(escrow), address(permit2)))
        );
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = paid;
        data = _permit2Data(collector, permit2, config, permit);
    }

    function _permit2Data(
        Permit2DepositCollector collector,
        MockPermit2 permit2,
        IChannelEscrow.ChannelConfig memory config,
        bytes memory permit
    ) private view returns (bytes memory) {
        uint256 deadline = block.timestamp + 1 hours;
        bytes32 digest = permit2.digestOf(
            ISignatureTransfer.PermitTransferFrom({
                permitted: ISignatureTransfer.TokenPermissions({token: config.token, amount: DEPOSIT}),
                nonce: 300,
                deadline: deadline
            }),
            address(collector),
            keccak256(
                abi.encode(keccak256("DepositWitness(bytes32 channelId)"), escrow.getChannelId(config))
            ),
            "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)"
        );
        return abi.encode(300, deadline, _sign(payerKey, digest), permit);
    }

    function _permit(PermitToken permitted, address spender) private view returns (bytes memory) {
        uint256 deadline = block.timestamp + 1 hours;
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                payer,
                spender,
                uint256(DEPOSIT),
                uint256(0),
                deadline
            )
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", _domain(address(permitted)), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payerKey, digest);
        return abi.encode(uint256(DEPOSIT), deadline, v, r, s);
    }

    function _domain(address contract_) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Mock"),
                keccak256("1"),
                block.chainid,
                contract_
            )
        );
    }
}
