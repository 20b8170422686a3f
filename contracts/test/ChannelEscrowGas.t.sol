// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Erc3009DepositCollector} from "../src/Erc3009DepositCollector.sol";
import {IChannelEscrow} from "../src/IChannelEscrow.sol";
import {Permit2DepositCollector} from "../src/Permit2DepositCollector.sol";
import {ChannelEscrowFixture} from "./support/ChannelEscrowFixture.sol";
import {MockPermit2, PullCollector, UnsignedAuthorizationToken} from "./support/DepositMocks.sol";

/// @notice Gas of single calls, under the names and in the circumstances of the published snapshot of x402's
///         contract: execution only, the same parties, a plain mock token, mocks that check no signature where that
///         one's do not, and what the test touched before the call still warm. The ceilings are the published figures.
contract ChannelEscrowGasTest is ChannelEscrowFixture {
    PullCollector private _pull;
    UnsignedAuthorizationToken private _token3009;
    Erc3009DepositCollector private _collector3009;
    MockPermit2 private _permit2;
    Permit2DepositCollector private _collectorPermit2;

    function setUp() public override {
        super.setUp();
        _pull = new PullCollector();
        _token3009 = new UnsignedAuthorizationToken();
        _token3009.mint(payer, 10_000_000e6);
        _collector3009 =
            Erc3009DepositCollector(_deploy("Erc3009DepositCollector", abi.encode(address(escrow))));
        _permit2 = new MockPermit2(false);
        _collectorPermit2 = Permit2DepositCollector(
            _deploy("Permit2DepositCollector", abi.encode(address(escrow), address(_permit2)))
        );
        vm.startPrank(payer);
        token.approve(address(_pull), type(uint256).max);
        token.approve(address(_permit2), type(uint256).max);
        vm.stopPrank();
    }

    /// @dev Shows that the token is the same: the published figure is 25,745.
    function test_gas_baseline_erc20_transfer() public {
        token.mint(address(this), DEPOSIT);
        token.transfer(receiver, DEPOSIT);
        _record("baseline_erc20_transfer", 25_745);
    }

    function test_gas_deposit_erc20_pull_first() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        vm.prank(payer);
        escrow.deposit(config, DEPOSIT, address(_pull), "");
        _record("deposit_erc20_pull_first", 84_770);
    }

    /// @dev Our own way, without a collector.
    function test_gas_deposit_approval_first() public {
        _deposit(_config(0), DEPOSIT);
        _record("deposit_approval_first", 84_770);
    }

    function test_gas_deposit_erc3009_first() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        config.token = address(_token3009);
        escrow.getChannelId(config); // warms the escrow, as there
        bytes memory data = abi.encode(0, type(uint256).max, 7, new bytes(65));
        vm.prank(payer);
        escrow.deposit(config, DEPOSIT, address(_collector3009), data);
        _record("deposit_erc3009_first", 111_738);
    }

    function test_gas_deposit_permit2_mock_first() public {
        bytes memory data =
            abi.encode(uint256(keccak256("gas_permit2_nonce")), block.timestamp + 3600, "", "");
        IChannelEscrow.ChannelConfig memory config = _config(0);
        vm.prank(payer);
        escrow.deposit(config, DEPOSIT, address(_collectorPermit2), data);
        _record("deposit_permit2_mock_first", 119_685);
    }

    function test_gas_claim_1_voucher() public {
        _claimChannels(1);
        _record("claim_1_voucher", 40_252);
    }

    function test_gas_claim_10_channels() public {
        _claimChannels(10);
        _record("claim_10_channels", 192_043);
    }

    /// @dev No figure was published; ours is at most 18,000 a channel.
    function test_gas_claim_50_channels() public {
        _claimChannels(50);
        _record("claim_50_channels", 50 * 18_000);
    }

    function test_gas_claim_with_signature_10_channels() public {
        IChannelEscrow.VoucherClaim[] memory rows = _funded(10);
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getClaimBatchDigest(rows));
        escrow.claimWithSignature(rows, signature);
        _record("claim_with_signature_10_channels", 192_043);
    }

    function test_gas_settle_receiver_token() public {
        _claimChannels(1);
        escrow.settle(receiver, address(token));
        _record("settle_receiver_token", 31_204);
    }

    function test_gas_refund_full_receiver_authorizer() public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        _depositByPull(config);
        vm.prank(receiverAuthorizer);
        escrow.refund(config, DEPOSIT);
        _record("refund_full_receiverAuth", 43_859);
    }

    function test_gas_refund_with_signature_relay() public {
        IChannelEscrow.ChannelConfig memory config = _config(bytes32(uint256(777)));
        bytes32 channelId = escrow.getChannelId(config);
        _depositByPull(config);
        uint256 nonce = escrow.refundNonce(channelId);
        bytes memory signature =
            _sign(receiverAuthorizerKey, escrow.getRefundDigest(channelId, nonce, DEPOSIT));
        escrow.refundWithSignature(config, DEPOSIT, nonce, signature);
        _record("refund_with_signature_relay", 53_670);
    }

    function _claimChannels(uint256 count) private {
        IChannelEscrow.VoucherClaim[] memory rows = _funded(count);
        vm.prank(receiverAuthorizer);
        escrow.claim(rows);
    }

    function _funded(uint256 count) private returns (IChannelEscrow.VoucherClaim[] memory rows) {
        rows = new IChannelEscrow.VoucherClaim[](count);
        for (uint256 i = 0; i < count; ++i) {
            IChannelEscrow.ChannelConfig memory config = _config(bytes32(i + 1));
            _depositByPull(config);
            rows[i] = _row(config, CLAIM);
        }
    }

    function _depositByPull(IChannelEscrow.ChannelConfig memory config) private {
        vm.prank(config.payer);
        escrow.deposit(config, DEPOSIT, address(_pull), "");
    }

    function _record(string memory name, uint256 ceiling) private {
        uint256 gas = vm.snapshotGasLastCall("ChannelEscrow", name);
        _true(gas <= ceiling, string.concat(name, " costs ", vm.toString(gas)));
    }
}
